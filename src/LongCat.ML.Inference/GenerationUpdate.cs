namespace LongCat.ML.Inference;

/// <summary>One new token of a streamed completion. Immutable.</summary>
public sealed record GenerationUpdate
{
    /// <summary>The new token, or -1 in an update that ends a stream without one (cancelled, or no token was asked for).</summary>
    public required int Id { get; init; }

    /// <summary>
    /// Text that became certain with this token. It may be empty: incomplete characters and text that may turn out to begin a stop string are held back.
    /// The texts of all updates together are <see cref="GenerationResult.Text"/>.
    /// </summary>
    public required string Text { get; init; }

    /// <summary>Why the completion ended, in the last update; null before.</summary>
    public FinishReason? FinishReason { get; init; }

    /// <summary>Tokens of the prompt that were found in the cache when the request was first computed; whole pages only. 0 in an update without a token.</summary>
    public int CachedPromptTokens { get; init; }

    /// <summary>The token's log-probability, or null when none was asked for.</summary>
    public TokenLogProbability? LogProbability { get; init; }
}
