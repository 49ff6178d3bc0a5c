namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>What a model loses on the held-out text with contexts of several lengths.</summary>
/// <param name="Name">The model.</param>
/// <param name="Segments">For each context the mean loss of a token, in nats, of each segment as long as the shortest context; none where it was not measured. The same tokens in each context.</param>
internal sealed record ContextLosses(string Name, IReadOnlyList<IReadOnlyList<double>> Segments)
{
    /// <summary>For each context the perplexity; null where it was not measured.</summary>
    public IReadOnlyList<double?> Perplexity => [.. Segments.Select(segments => segments.Count == 0 ? (double?)null : Math.Exp(segments.Average()))];

    /// <summary>These losses, and those of the same model in other contexts.</summary>
    public ContextLosses With(ContextLosses others) => this with { Segments = [.. Segments.Zip(others.Segments, (own, other) => own.Count > 0 ? own : other)] };

    /// <summary>The mean difference to another model's loss in a context, and its standard error over the segments.</summary>
    public (double Mean, double Error) Against(ContextLosses other, int context)
    {
        double[] differences = [.. Segments[context].Zip(other.Segments[context], (one, two) => one - two)];
        double mean = differences.Average();
        return (mean, differences.Length < 2 ? double.NaN : Math.Sqrt(differences.Sum(value => (value - mean) * (value - mean)) / (differences.Length - 1) / differences.Length));
    }
}
