using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>One trajectory, or a summary that became a candidate. Immutable.</summary>
public sealed record HeavyThinkingCandidate
{
    /// <summary>Its round, counted from 1.</summary>
    public required int Round { get; init; }

    /// <summary>Its place in the round, counted from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Its answer without thoughts, calls of tools written out; empty where it gave none (a limit ended its thoughts) or failed.</summary>
    public required string Answer { get; init; }

    /// <summary>The whole response; null where the request failed or was dropped.</summary>
    public ChatResponse? Response { get; init; }

    /// <summary>Why the request failed; null where it did not. One that was dropped because others agreed has an <see cref="OperationCanceledException"/>.</summary>
    public Exception? Error { get; init; }
}
