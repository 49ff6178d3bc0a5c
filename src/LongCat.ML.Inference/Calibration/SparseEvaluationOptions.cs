namespace LongCat.ML.Inference.Calibration;

/// <summary>How <see cref="SparseEvaluator"/> compares. Immutable.</summary>
public sealed record SparseEvaluationOptions
{
    /// <summary>Proposed tokens of a round, 1 to 16. Default 4.</summary>
    public int DraftTokens { get; init; } = 4;

    /// <summary>The first position at which a round begins, 1 or more. Default 64.</summary>
    public int First { get; init; } = 64;

    /// <summary>Tokens from one round to the next, at least 1. Default 64.</summary>
    public int Stride { get; init; } = 64;

    /// <summary>Threads; 0 for all cores. Default 0.</summary>
    public int Threads { get; init; }

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        if (DraftTokens is < 1 or > SpeculativeOptions.LargestWidth)
        {
            throw new ArgumentOutOfRangeException(nameof(DraftTokens), DraftTokens, $"SparseEvaluationOptions.DraftTokens is {DraftTokens}; expected 1 to {SpeculativeOptions.LargestWidth}.");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(First, 1, nameof(First));
        ArgumentOutOfRangeException.ThrowIfLessThan(Stride, 1, nameof(Stride));
        ArgumentOutOfRangeException.ThrowIfNegative(Threads, nameof(Threads));
    }
}
