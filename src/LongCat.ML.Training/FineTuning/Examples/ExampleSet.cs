namespace LongCat.ML.Training.FineTuning;

/// <summary>Examples and how many rows gave none.</summary>
/// <param name="Examples">The examples in the order of their rows.</param>
/// <param name="Unreadable">Rows that were left out because they could not be read or encoded.</param>
/// <param name="FirstProblem">What was wrong with the first of them, or null.</param>
public sealed record ExampleSet(IReadOnlyList<TrainingExample> Examples, int Unreadable = 0, string? FirstProblem = null)
{
    /// <summary>Divides the examples by chance into two sets; all examples of one row stay together.</summary>
    /// <param name="share">The share of rows that go to the second set, above 0 and below 1; at least one row goes to each.</param>
    /// <param name="seed">The seed of the choice.</param>
    /// <returns>The two sets, each in the order of the rows.</returns>
    /// <exception cref="FineTuningException">There are fewer than two rows.</exception>
    public (ExampleSet Train, ExampleSet Validation) Divide(double share, ulong seed)
    {
        if (!(share > 0 && share < 1))
        {
            throw new ArgumentOutOfRangeException(nameof(share), share, "expected a share above 0 and below 1");
        }

        long[] sources = [.. Examples.Select(e => e.Source).Distinct()];
        if (sources.Length < 2)
        {
            throw new FineTuningException($"{sources.Length} rows cannot be divided into training and validation; at least two are needed");
        }

        Data.SeededShuffle.Shuffle<long>(sources, seed ^ 0x9D5C_3B11_7F42_E6A8);
        HashSet<long> chosen = [.. sources.Take(Math.Clamp((int)Math.Round(share * sources.Length), 1, sources.Length - 1))];
        return (this with { Examples = [.. Examples.Where(e => !chosen.Contains(e.Source))] }, new ExampleSet([.. Examples.Where(e => chosen.Contains(e.Source))]));
    }
}
