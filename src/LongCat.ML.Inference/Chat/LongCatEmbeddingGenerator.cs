using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Chat.Telemetry;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Chat;

/// <summary>
/// An embedding generator of Microsoft.Extensions.AI over an <see cref="InferenceEngine"/>: a text's hidden states after the final norm, pooled into one vector. All texts of a
/// call run together.
/// </summary>
/// <remarks>Thread-safe. A <see cref="EmbeddingGenerationOptions.ModelId"/> other than the model's names an adapter. An <see cref="EmbeddingRequest"/> from
/// <see cref="EmbeddingGenerationOptions.RawRepresentationFactory"/> says how each text is pooled, normalized and cut in place of the generator's own way.</remarks>
public sealed class LongCatEmbeddingGenerator : IEmbeddingGenerator<string, Embedding<float>>
{
    private readonly InferenceEngine _engine;
    private readonly EmbeddingGeneratorMetadata _metadata;
    private readonly EmbeddingRequest _defaults;
    private readonly string _model;
    private readonly bool _ownsEngine;

    /// <summary>Creates a generator over an engine.</summary>
    /// <param name="engine">The engine, with the folder's tokenizer.</param>
    /// <param name="defaults">How texts are pooled, normalized and cut; its text is not used. Null: the mean, of length 1; a text that is too long fails.</param>
    /// <param name="modelId">The model's name in results, metadata and telemetry; null for its architecture.</param>
    /// <param name="ownsEngine">Whether disposing the generator disposes the engine. Default false.</param>
    /// <exception cref="InferenceException">The engine's folder holds no tokenizer.json.</exception>
    public LongCatEmbeddingGenerator(InferenceEngine engine, EmbeddingRequest? defaults = null, string? modelId = null, bool ownsEngine = false)
    {
        ArgumentNullException.ThrowIfNull(engine);
        if (engine.Tokenizer is null)
        {
            throw new InferenceException("embeddings of texts need a tokenizer, and the model folder holds no tokenizer.json. Export the model again from a folder that has one.");
        }

        _engine = engine;
        _defaults = defaults ?? new EmbeddingRequest();
        _ownsEngine = ownsEngine;
        _model = modelId ?? engine.Manifest.Architecture;
        _metadata = new EmbeddingGeneratorMetadata(LongCatTelemetry.ProviderName, providerUri: null, _model, engine.Manifest.HiddenSize);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">A text is null, or the options' factory gives something else than an <see cref="EmbeddingRequest"/>.</exception>
    /// <exception cref="NotSupportedException">The options ask for another number of dimensions than the model has.</exception>
    /// <exception cref="InferenceException">A text is too long, no adapter has the name, or the model gives no hidden states; no embedding of the call is returned then.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled.</exception>
    public async Task<GeneratedEmbeddings<Embedding<float>>> GenerateAsync(
        IEnumerable<string> values, EmbeddingGenerationOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (options?.Dimensions is { } dimensions && dimensions != _engine.Manifest.HiddenSize)
        {
            throw new NotSupportedException(
                $"EmbeddingGenerationOptions.Dimensions is {dimensions}; the model's embeddings have {_engine.Manifest.HiddenSize}, and they cannot be cut. Leave it null.");
        }

        string[] texts = [.. values];
        if (Array.IndexOf(texts, null!) is int missing and >= 0)
        {
            throw new ArgumentException($"the text at index {missing} is null.", nameof(values));
        }

        string? model = options?.ModelId == _model ? null : options?.ModelId;
        EmbeddingRequest request = options?.RawRepresentationFactory?.Invoke(this) switch
        {
            null => _defaults,
            EmbeddingRequest own => own,
            object other => throw new ArgumentException($"EmbeddingGenerationOptions.RawRepresentationFactory gave {other.GetType().Name}; {nameof(EmbeddingRequest)} is expected.", nameof(options)),
        };
        request = request with { Ids = null, Adapter = model ?? request.Adapter };
        using EmbeddingOperation operation = new(request.Adapter ?? _model);

        // One text that fails ends the call: what is still running for the others is dropped.
        using CancellationTokenSource others = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            EmbeddingResult[] results = await Task.WhenAll(texts.Select(text => EmbedAsync(request with { Text = text }, others))).ConfigureAwait(false);
            int tokens = results.Sum(result => result.Tokens);
            operation.Finish(tokens, _engine.Manifest.HiddenSize);
            DateTimeOffset now = DateTimeOffset.UtcNow;
            return new GeneratedEmbeddings<Embedding<float>>(results.Select(result => new Embedding<float>(result.Vector) { ModelId = request.Adapter ?? _model, CreatedAt = now }))
            {
                Usage = new UsageDetails { InputTokenCount = tokens, TotalTokenCount = tokens },
            };
        }
        catch (Exception error)
        {
            operation.Fail(error);
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>Knows <see cref="EmbeddingGeneratorMetadata"/>, <see cref="InferenceEngine"/> and <see cref="HuggingFaceTokenizer"/>.</remarks>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        if (serviceKey is not null)
        {
            return null;
        }

        return serviceType == typeof(EmbeddingGeneratorMetadata) ? _metadata
            : serviceType == typeof(InferenceEngine) ? _engine
            : serviceType == typeof(HuggingFaceTokenizer) ? _engine.Tokenizer
            : serviceType.IsInstanceOfType(this) ? this
            : null;
    }

    /// <summary>Disposes the engine where the generator owns it.</summary>
    public void Dispose()
    {
        if (_ownsEngine)
        {
            _engine.Dispose();
        }
    }

    private async Task<EmbeddingResult> EmbedAsync(EmbeddingRequest request, CancellationTokenSource others)
    {
        try
        {
            return await _engine.EmbedAsync(request, others.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (error is not OperationCanceledException)
        {
            await others.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }
}
