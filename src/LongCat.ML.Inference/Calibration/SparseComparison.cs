namespace LongCat.ML.Inference.Calibration;

/// <summary>What sparse verification changes and saves, measured against exact verification of the same tokens. Immutable.</summary>
public sealed record SparseComparison
{
    /// <summary>What could be left out.</summary>
    public required SparseVerification Verification { get; init; }

    /// <summary>Rounds that were verified both ways: half of them over the text's own tokens, half over the exact model's greedy continuation.</summary>
    public required int Rounds { get; init; }

    /// <summary>The share of positions of the text at which both have the same most probable token, 0 to 1.</summary>
    public required double ArgmaxAgreement { get; init; }

    /// <summary>The mean over these positions of KL(exact ‖ sparse), in nats.</summary>
    public required double KlDivergence { get; init; }

    /// <summary>The perplexity of the text at these positions, verified exactly.</summary>
    public required double ExactPerplexity { get; init; }

    /// <summary>The same, verified sparsely.</summary>
    public required double Perplexity { get; init; }

    /// <summary>
    /// Tokens that a round would give, on average, to a proposer that always proposes the exact model's greedy continuation: at most <see cref="SparseEvaluationOptions.DraftTokens"/> + 1, which exact verification gives.
    /// </summary>
    public required double AcceptanceLength { get; init; }

    /// <summary>Milliseconds of an exact round, the median.</summary>
    public required double ExactMilliseconds { get; init; }

    /// <summary>Milliseconds of a sparse round, the median.</summary>
    public required double Milliseconds { get; init; }
}
