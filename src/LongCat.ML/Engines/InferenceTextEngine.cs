using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Models;

namespace LongCat.ML.Engines;

/// <summary>The inference engine as the steps see it.</summary>
internal sealed class InferenceTextEngine : ITextEngine
{
    private readonly InferenceEngine engine;
    private readonly Lazy<ChatTemplate> template;
    private readonly int longest;

    private InferenceTextEngine(InferenceEngine engine, string folder)
    {
        this.engine = engine;
        template = new Lazy<ChatTemplate>(() => ChatTemplates.Require(folder));
        longest = engine.LongestSequence;
    }

    public string? Warning => engine.Weights.Fallback is { } reason ? $"its weights stay in the file mapping: {reason}." : null;

    public static InferenceTextEngine Open(string folder, EngineSettings settings, string device)
    {
        var options = new EngineOptions
        {
            MaxSequences = settings.MaxSequences,
            Threads = settings.Threads,
            Device = device,
            WeightPages = settings.WeightPages,
            Speculation = settings.Speculation,
            Adapters = settings.Adapters,
        };
        if (settings.CacheBytes is { } bytes)
        {
            options = options with { MemoryBudgetBytes = bytes };
        }

        return new InferenceTextEngine(InferenceEngine.Load(folder, options), folder);
    }

    public async Task<TextCompletion> GenerateAsync(CompletionRequest request, CancellationToken cancellationToken)
    {
        CompletionSettings settings = request.Settings;
        GenerationResult result = await engine.GenerateAsync(
            new GenerationRequest
            {
                Prompt = request.Messages is null ? request.Prompt : null,
                PromptIds = request.Messages is { } messages ? ChatPrompt(messages, request.ChatVariables) : null,
                Adapter = request.Adapter,
                Options = new GenerationOptions
                {
                    MaxNewTokens = settings.MaxNewTokens,
                    Temperature = settings.Temperature,
                    TopK = settings.TopK,
                    TopP = settings.TopP,
                    Seed = settings.Seed,
                    StopStrings = settings.StopStrings,
                    LogProbabilities = settings.LogProbabilities ? -1 : 0,
                    Overflow = Overflow(settings.OverlongRows),
                },
            },
            cancellationToken).ConfigureAwait(false);
        return new TextCompletion(
            result.Text,
            result.FinishReason.ToString().ToLowerInvariant(),
            result.PromptTokens,
            result.Ids.Count,
            [.. (result.LogProbabilities ?? []).Select(token => (float)token.LogProbability)]);
    }

    public async Task<TextLikelihood> ScoreAsync(string prompt, string continuation, OverlongRow overlong, string? adapter, CancellationToken cancellationToken)
    {
        ScoreRequest request = prompt.Length > 0
            ? new ScoreRequest { Prompt = prompt, Continuation = continuation, Overflow = Overflow(overlong) }
            : FromTheBeginning(continuation, overlong);

        // A text of one token, with no begin-of-text token to predict it from, has nothing to score.
        if (request.ContinuationIds is { Count: 0 })
        {
            return new TextLikelihood(double.NaN, 0, []);
        }

        Inference.ScoreResult result = await engine.ScoreAsync(request with { Adapter = adapter }, cancellationToken).ConfigureAwait(false);
        return new TextLikelihood(result.LogLikelihood, result.Tokens, [.. result.TokenLogLikelihoods.Select(value => (float)value)]);
    }

    public async Task<float[]> EmbedAsync(string text, EmbeddingPooling pooling, bool normalize, OverlongRow overlong, string? adapter, CancellationToken cancellationToken)
    {
        var request = new EmbeddingRequest { Text = text, Pooling = pooling, Normalize = normalize, Overflow = Overflow(overlong), Adapter = adapter };
        return (await engine.EmbedAsync(request, cancellationToken).ConfigureAwait(false)).Vector;
    }

    public string Cut(string text, Func<string, string> prompt, IReadOnlyList<string> continuations, OverlongRow overlong)
    {
        if (overlong == OverlongRow.Fail)
        {
            return text;
        }

        int room = longest - continuations.Max(continuation => Tokenizer.Encode(continuation, addSpecialTokens: false).Count);
        int excess = Tokenizer.Encode(prompt(text)).Count - room;
        int[] ids = excess > 0 ? [.. Tokenizer.Encode(text, addSpecialTokens: false)] : [];

        // At the cut and at the template, tokens join otherwise than in the text alone: cut again until it fits.
        while (excess > 0 && ids.Length > 0)
        {
            int dropped = Math.Min(excess, ids.Length);
            ids = overlong == OverlongRow.TruncateLeft ? ids[dropped..] : ids[..^dropped];

            // A cut inside a character leaves a replacement character there.
            string kept = Tokenizer.Decode(ids);
            text = overlong == OverlongRow.TruncateLeft ? kept.TrimStart('\uFFFD') : kept.TrimEnd('\uFFFD');
            excess = Tokenizer.Encode(prompt(text)).Count - room;
        }

        return text;
    }

    public void Dispose() => engine.Dispose();

    /// <summary>A template writes all special tokens itself.</summary>
    private IReadOnlyList<int> ChatPrompt(IReadOnlyList<ChatMessage> messages, IReadOnlyDictionary<string, JsonElement> variables)
    {
        var options = new ChatTemplateOptions { Variables = variables.ToDictionary(pair => pair.Key, pair => (object?)pair.Value) };
        return Tokenizer.Encode(template.Value.Render(messages, options), addSpecialTokens: false);
    }

    private HuggingFaceTokenizer Tokenizer => engine.Tokenizer
        ?? throw new InferenceException($"the model has no {ModelReference.TokenizerFile}; export it again from a checkpoint folder that holds one.");

    /// <summary>
    /// A whole text is the continuation of the begin-of-text token, or of its own first token where the model names none. The engine never cuts a
    /// continuation, so an overlong text is cut here.
    /// </summary>
    private ScoreRequest FromTheBeginning(string text, OverlongRow overlong)
    {
        ModelManifest manifest = engine.Manifest;
        int[] ids = [.. Tokenizer.Encode(text)];
        bool beginsItself = manifest.BosTokenId is not { } bos || (ids.Length > 0 && ids[0] == bos);
        int[] begin = beginsItself ? [.. ids.Take(1)] : [manifest.BosTokenId!.Value];
        int[] scored = beginsItself ? [.. ids.Skip(1)] : ids;
        int room = Math.Max(1, longest - begin.Length);
        if (scored.Length > room && overlong != OverlongRow.Fail)
        {
            scored = overlong == OverlongRow.TruncateLeft ? scored[^room..] : scored[..room];
        }

        return new ScoreRequest { PromptIds = begin, ContinuationIds = scored };
    }

    private static PromptOverflow Overflow(OverlongRow overlong) => overlong switch
    {
        OverlongRow.TruncateLeft => PromptOverflow.TruncateLeft,
        OverlongRow.TruncateRight => PromptOverflow.TruncateRight,
        _ => PromptOverflow.Fail,
    };
}
