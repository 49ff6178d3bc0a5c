namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>A difference of two ways on the same questions, in points of a hundred, with half of its 95 % interval.</summary>
internal sealed record PairedDifference(double Points, double HalfWidth)
{
    /// <summary>1: better, -1: worse, 0: the interval holds no difference.</summary>
    public int Sign => Points - HalfWidth > 0 ? 1 : Points + HalfWidth < 0 ? -1 : 0;

    /// <summary>From the questions' own differences: questions are drawn one by one, so their mean is nearly normal.</summary>
    public static PairedDifference Of(IReadOnlyList<bool> one, IReadOnlyList<bool> other)
    {
        double[] differences = [.. one.Zip(other, (a, b) => (a ? 1.0 : 0) - (b ? 1.0 : 0))];
        double mean = differences.Average();
        double variance = differences.Sum(value => (value - mean) * (value - mean)) / Math.Max(1, differences.Length - 1);
        return new PairedDifference(100 * mean, 100 * 1.96 * Math.Sqrt(variance / differences.Length));
    }
}

/// <summary>A way of answering over the questions of all seeds.</summary>
/// <param name="Way">Its name.</param>
/// <param name="Calls">Calls of the model.</param>
/// <param name="Written">Tokens written for a question.</param>
/// <param name="Read">Tokens of prompts for a question.</param>
/// <param name="Right">The share of right answers.</param>
/// <param name="Low">Below it, Wilson's interval of 95 %.</param>
/// <param name="High">Above it.</param>
/// <param name="BySeed">The share of each seed.</param>
internal sealed record ThinkingLine(string Way, int Calls, double Written, double Read, double Right, double Low, double High, IReadOnlyList<double> BySeed)
{
    /// <summary>Against a vote of as many answers as the way has calls.</summary>
    public PairedDifference? AgainstVote { get; init; }

    /// <summary>Against the likeliest answer of a single call.</summary>
    public PairedDifference? AgainstLikeliest { get; init; }

    /// <summary>Against the vote of its own first trajectories.</summary>
    public PairedDifference? AgainstOwnVote { get; init; }

    public static ThinkingLine Of(IReadOnlyList<ThinkingOutcome> seeds)
    {
        const double Z = 1.96;
        bool[] right = [.. seeds.SelectMany(seed => seed.Right)];
        double n = right.Length, share = right.Count(value => value) / n;
        double middle = (share + (Z * Z / (2 * n))) / (1 + (Z * Z / n)), half = Z / (1 + (Z * Z / n)) * Math.Sqrt((share * (1 - share) / n) + (Z * Z / (4 * n * n)));
        return new ThinkingLine(
            seeds[0].Way, seeds[0].Calls, seeds.Sum(seed => seed.Written) / n, seeds.Sum(seed => seed.Read) / n, share, middle - half, middle + half,
            [.. seeds.Select(seed => seed.Right.Count(value => value) / (double)seed.Right.Count)]);
    }
}
