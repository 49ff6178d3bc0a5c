namespace LongCat.ML.Inference;

/// <summary>A finished completion. Immutable.</summary>
public sealed record GenerationResult
{
    /// <summary>The new tokens in order. An end-of-sequence token that ended the completion is the last one; so are the tokens of a stop string.</summary>
    public required IReadOnlyList<int> Ids { get; init; }

    /// <summary>The new tokens as text, without the end-of-sequence token and up to the stop string; empty when the folder has no tokenizer.</summary>
    public required string Text { get; init; }

    /// <summary>Why the completion ended.</summary>
    public required FinishReason FinishReason { get; init; }

    /// <summary>Tokens of the prompt, after truncation.</summary>
    public required int PromptTokens { get; init; }

    /// <summary>Those of <see cref="PromptTokens"/> that were found in the cache when the request was first computed; whole pages only.</summary>
    public int CachedPromptTokens { get; init; }

    /// <summary>One entry for each of <see cref="Ids"/>, or null when none were asked for.</summary>
    public IReadOnlyList<TokenLogProbability>? LogProbabilities { get; init; }

    /// <summary>From the call to the first new token, waiting included.</summary>
    public TimeSpan TimeToFirstToken { get; init; }

    /// <summary>From the call to the end, waiting included.</summary>
    public TimeSpan Elapsed { get; init; }
}
