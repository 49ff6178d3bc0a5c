using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;

namespace LongCat.ML.Engines;

/// <summary>What the steps need of an engine. Thread-safe: many requests at once are its purpose. Where a request names no adapter the model runs alone.</summary>
internal interface ITextEngine : IDisposable
{
    /// <summary>What was asked for when the engine was opened and could not be had, with the reason; null where nothing was.</summary>
    string? Warning => null;

    /// <summary>Completes a prompt.</summary>
    Task<TextCompletion> GenerateAsync(CompletionRequest request, CancellationToken cancellationToken);

    /// <summary>The likelihood of <paramref name="continuation"/> after <paramref name="prompt"/>; after the beginning of a text where the prompt is empty.</summary>
    Task<TextLikelihood> ScoreAsync(string prompt, string continuation, OverlongRow overlong, string? adapter, CancellationToken cancellationToken);

    /// <summary>The pooled hidden states of a text, [hidden_size].</summary>
    Task<float[]> EmbedAsync(string text, EmbeddingPooling pooling, bool normalize, OverlongRow overlong, string? adapter, CancellationToken cancellationToken);

    /// <summary>The part of <paramref name="text"/> with which a prompt and the longest of its continuations fit; all of it where that fits or nothing may be cut.</summary>
    string Cut(string text, Func<string, string> prompt, IReadOnlyList<string> continuations, OverlongRow overlong);
}

/// <summary>What turns text into token ids. Thread-safe.</summary>
internal interface ITextTokenizer : IDisposable
{
    /// <summary>The ids of a text, special tokens of the tokenizer's template included.</summary>
    int[] Encode(string text);
}

/// <summary>How a completion is chosen and where it ends: the step's settings, or a row's own.</summary>
internal sealed record CompletionSettings
{
    public required int MaxNewTokens { get; init; }

    public float Temperature { get; init; }

    public int TopK { get; init; }

    public float TopP { get; init; } = 1;

    public ulong? Seed { get; init; }

    public IReadOnlyList<string> StopStrings { get; init; } = [];

    public bool LogProbabilities { get; init; }

    public OverlongRow OverlongRows { get; init; }
}

/// <summary>One prompt with its settings.</summary>
internal sealed record CompletionRequest(string Prompt, CompletionSettings Settings)
{
    /// <summary>A chat to complete in place of <see cref="Prompt"/>, or null.</summary>
    public IReadOnlyList<ChatMessage>? Messages { get; init; }

    /// <summary>The adapter to run with, or null.</summary>
    public string? Adapter { get; init; }

    /// <summary>Variables of the chat template.</summary>
    public IReadOnlyDictionary<string, JsonElement> ChatVariables { get; init; } = new Dictionary<string, JsonElement>();
}

/// <summary>One completion.</summary>
/// <param name="Text">Without the prompt.</param>
/// <param name="FinishReason">stop or length.</param>
/// <param name="PromptTokens">Tokens of the prompt after truncation.</param>
/// <param name="CompletionTokens">Tokens generated.</param>
/// <param name="LogProbabilities">Of each generated token; empty when not asked for.</param>
internal sealed record TextCompletion(string Text, string FinishReason, int PromptTokens, int CompletionTokens, float[] LogProbabilities);

/// <summary>The likelihood of a text: natural logarithm, summed over its tokens.</summary>
/// <param name="LogLikelihood">The sum.</param>
/// <param name="Tokens">How many tokens were scored.</param>
/// <param name="TokenLogLikelihoods">Of each scored token.</param>
internal readonly record struct TextLikelihood(double LogLikelihood, int Tokens, float[] TokenLogLikelihoods);
