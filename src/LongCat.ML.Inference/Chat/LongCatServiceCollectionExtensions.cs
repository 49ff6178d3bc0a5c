using LongCat.ML.Inference;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Checkpoints;
using Microsoft.Extensions.AI;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers engines, chat clients and embedding generators of LongCat.ML with a service collection.</summary>
public static class LongCatServiceCollectionExtensions
{
    /// <summary>
    /// Registers one <see cref="InferenceEngine"/> for the process. It is loaded when it is first asked for and disposed with the provider; chat clients and embedding generators
    /// registered here share it.
    /// </summary>
    /// <param name="services">The collection.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote.</param>
    /// <param name="options">How the engine uses the machine; null for the defaults.</param>
    /// <returns>The collection.</returns>
    public static IServiceCollection AddLongCatEngine(this IServiceCollection services, string folder, EngineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return services.AddSingleton(_ => InferenceEngine.Load(folder, options));
    }

    /// <summary>Registers an <see cref="IChatClient"/> over the engine of the folder, which it registers too where none is registered yet.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote, from a checkpoint with a chat template.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults. Not used where an engine is registered already.</param>
    /// <param name="options">What requests leave open; null for the defaults.</param>
    /// <returns>The collection.</returns>
    /// <remarks>The folder is read when the client is first asked for: a folder without a chat template is a <see cref="CheckpointException"/> then.</remarks>
    public static IServiceCollection AddLongCatChatClient(
        this IServiceCollection services, string folder, EngineOptions? engineOptions = null, LongCatChatClientOptions? options = null)
    {
        Require(services, folder, engineOptions);
        return services.AddSingleton<IChatClient>(provider => LongCatChatClient.Create(folder, () => provider.GetRequiredService<InferenceEngine>(), ownsEngine: false, options));
    }

    /// <summary>Registers an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over the engine of the folder, which it registers too where none is registered yet.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults. Not used where an engine is registered already.</param>
    /// <param name="defaults">How texts are pooled, normalized and cut; null for the mean, of length 1.</param>
    /// <returns>The collection.</returns>
    public static IServiceCollection AddLongCatEmbeddingGenerator(
        this IServiceCollection services, string folder, EngineOptions? engineOptions = null, EmbeddingRequest? defaults = null)
    {
        Require(services, folder, engineOptions);
        return services.AddSingleton<IEmbeddingGenerator<string, Embedding<float>>>(
            provider => new LongCatEmbeddingGenerator(provider.GetRequiredService<InferenceEngine>(), defaults, LongCatChatClient.NameOf(folder)));
    }

    private static void Require(IServiceCollection services, string folder, EngineOptions? options)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (!services.Any(service => service.ServiceType == typeof(InferenceEngine)))
        {
            services.AddLongCatEngine(folder, options);
        }
    }
}
