using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>How a reply came to be: the value of <c>AdditionalProperties["heavy_thinking"]</c>. Immutable.</summary>
public sealed record HeavyThinkingResult
{
    /// <summary>The key under which responses, and the last update of a stream, have it.</summary>
    public const string Key = "heavy_thinking";

    /// <summary>All candidates, by round and place.</summary>
    public required IReadOnlyList<HeavyThinkingCandidate> Candidates { get; init; }

    /// <summary>Whether the reply is the answer that enough trajectories agreed on, without a summary.</summary>
    public required bool Agreed { get; init; }

    /// <summary>Tokens of all calls together.</summary>
    public required UsageDetails Usage { get; init; }
}
