namespace LongCat.ML.Inference;

/// <summary>The probability of a continuation. Immutable.</summary>
public sealed record ScoreResult
{
    /// <summary>The natural logarithm of the continuation's probability given the prompt: the sum of <see cref="TokenLogLikelihoods"/>.</summary>
    public required double LogLikelihood { get; init; }

    /// <summary>How many tokens were scored.</summary>
    public required int Tokens { get; init; }

    /// <summary>The natural logarithm of each token's probability given everything before it, computed in double precision.</summary>
    public required IReadOnlyList<double> TokenLogLikelihoods { get; init; }

    /// <summary>Whether greedy decoding of the prompt would have produced exactly this continuation.</summary>
    public required bool GreedyMatch { get; init; }
}
