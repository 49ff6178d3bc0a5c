using LongCat.ML.Inference;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Checkpoints;
using Microsoft.Extensions.AI;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers engines, chat clients and embedding generators of LongCat.ML with a service collection, all of them once for the process.</summary>
/// <remarks>
/// Without a key there is one engine, which all clients and generators share; a client of another folder than the engine's is an <see cref="InvalidOperationException"/> when it is asked for. Several models
/// take keys: each key has an engine of its own.
/// </remarks>
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

    /// <summary>As <see cref="AddLongCatEngine"/>, under a key: for several models in one process.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote.</param>
    /// <param name="options">How the engine uses the machine; null for the defaults.</param>
    /// <returns>The collection.</returns>
    public static IServiceCollection AddKeyedLongCatEngine(this IServiceCollection services, object serviceKey, string folder, EngineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(serviceKey);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return services.AddKeyedSingleton(serviceKey, (_, _) => InferenceEngine.Load(folder, options));
    }

    /// <summary>Registers an <see cref="IChatClient"/> over the engine of the folder, which it registers too where none is registered yet.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote, from a checkpoint with a chat template.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults. Not used where an engine is registered already.</param>
    /// <param name="options">What requests leave open; null for the defaults.</param>
    /// <returns>The collection.</returns>
    /// <remarks>
    /// The folder is read when the client is first asked for: a folder without a chat template is a <see cref="CheckpointException"/> then, and an engine that was registered for another model an
    /// <see cref="InvalidOperationException"/>.
    /// </remarks>
    public static IServiceCollection AddLongCatChatClient(
        this IServiceCollection services, string folder, EngineOptions? engineOptions = null, LongCatChatClientOptions? options = null)
    {
        Require(services, null, folder, engineOptions);
        return services.AddSingleton<IChatClient>(provider => LongCatChatClient.Create(folder, () => Engine(provider, null, folder), ownsEngine: false, options));
    }

    /// <summary>As <see cref="AddLongCatChatClient"/>, under a key, over the engine of that key, which it registers too where none is registered yet.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote, from a checkpoint with a chat template.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults. Not used where an engine of the key is registered already.</param>
    /// <param name="options">What requests leave open; null for the defaults.</param>
    /// <returns>The collection.</returns>
    public static IServiceCollection AddKeyedLongCatChatClient(
        this IServiceCollection services, object serviceKey, string folder, EngineOptions? engineOptions = null, LongCatChatClientOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(serviceKey);
        Require(services, serviceKey, folder, engineOptions);
        return services.AddKeyedSingleton<IChatClient>(serviceKey, (provider, key) => LongCatChatClient.Create(folder, () => Engine(provider, key, folder), ownsEngine: false, options));
    }

    /// <summary>Registers an <see cref="IEmbeddingGenerator{TInput, TEmbedding}"/> over the engine of the folder, which it registers too where none is registered yet.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults. Not used where an engine is registered already.</param>
    /// <param name="defaults">How texts are pooled, normalized and cut; null for the mean, of length 1.</param>
    /// <returns>The collection.</returns>
    /// <remarks>An engine that was registered for another model is an <see cref="InvalidOperationException"/> when the generator is first asked for.</remarks>
    public static IServiceCollection AddLongCatEmbeddingGenerator(
        this IServiceCollection services, string folder, EngineOptions? engineOptions = null, EmbeddingRequest? defaults = null)
    {
        Require(services, null, folder, engineOptions);
        return services.AddSingleton<IEmbeddingGenerator<string, Embedding<float>>>(
            provider => new LongCatEmbeddingGenerator(Engine(provider, null, folder), defaults, LongCatChatClient.NameOf(folder)));
    }

    /// <summary>As <see cref="AddLongCatEmbeddingGenerator"/>, under a key, over the engine of that key, which it registers too where none is registered yet.</summary>
    /// <param name="services">The collection.</param>
    /// <param name="serviceKey">The key.</param>
    /// <param name="folder">A folder that <c>longcat export</c> wrote.</param>
    /// <param name="engineOptions">How the engine uses the machine; null for the defaults. Not used where an engine of the key is registered already.</param>
    /// <param name="defaults">How texts are pooled, normalized and cut; null for the mean, of length 1.</param>
    /// <returns>The collection.</returns>
    public static IServiceCollection AddKeyedLongCatEmbeddingGenerator(
        this IServiceCollection services, object serviceKey, string folder, EngineOptions? engineOptions = null, EmbeddingRequest? defaults = null)
    {
        ArgumentNullException.ThrowIfNull(serviceKey);
        Require(services, serviceKey, folder, engineOptions);
        return services.AddKeyedSingleton<IEmbeddingGenerator<string, Embedding<float>>>(
            serviceKey, (provider, key) => new LongCatEmbeddingGenerator(Engine(provider, key, folder), defaults, LongCatChatClient.NameOf(folder)));
    }

    private static void Require(IServiceCollection services, object? key, string folder, EngineOptions? options)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (services.Any(service => service.ServiceType == typeof(InferenceEngine) && Equals(service.ServiceKey, key)))
        {
            return;
        }

        _ = key is null ? services.AddLongCatEngine(folder, options) : services.AddKeyedLongCatEngine(key, folder, options);
    }

    /// <summary>The registered engine, which must be the folder's: another model would read this one's tokens.</summary>
    private static InferenceEngine Engine(IServiceProvider provider, object? key, string folder)
    {
        InferenceEngine engine = key is null ? provider.GetRequiredService<InferenceEngine>() : provider.GetRequiredKeyedService<InferenceEngine>(key);
        return engine.Manifest.ContentHash == ModelManifest.Read(folder).ContentHash
            ? engine
            : throw new InvalidOperationException(
                $"the {(key is null ? "registered InferenceEngine" : $"InferenceEngine of the key '{key}'")} runs another model ({engine.Manifest.Architecture}, {engine.Manifest.ContentHash[..12]}…) than the folder {folder}: "
                + "register the models under keys of their own (AddKeyedLongCatChatClient, AddKeyedLongCatEmbeddingGenerator), or give the same folder everywhere.");
    }
}
