namespace LongCat.ML.Quantization;

/// <summary>One matrix on its way to 4 bits: what every step of a recipe reads. Nothing in it changes.</summary>
internal sealed class MatrixProblem
{
    private float[]? _padded;

    public required string Name { get; init; }

    public required LinearSite Site { get; init; }

    /// <summary>[N, K], finite.</summary>
    public required float[] Weights { get; init; }

    public required int OutFeatures { get; init; }

    public required int InFeatures { get; init; }

    /// <summary>Resolved.</summary>
    public required QuantizationOptions Options { get; init; }

    /// <summary>Null: no calibration row reached the site.</summary>
    public SiteStatistics? Statistics { get; init; }

    /// <summary>[K]: how much a squared error of each input counts, mean 1; null: all the same.</summary>
    public float[]? Importance { get; init; }

    public int Threads { get; init; } = -1;

    /// <summary>Inputs that share a step; K where there are no groups.</summary>
    public int GroupLength => Options.GroupSize is > 0 and int size ? size : InFeatures;

    public int Groups => (InFeatures + GroupLength - 1) / GroupLength;

    /// <summary><see cref="Importance"/>, or ones, in whole vectors (<see cref="StepMath.Padded"/>) with zeros at the end.</summary>
    public ReadOnlySpan<float> PaddedImportance => _padded ??= Pad();

    /// <summary>
    /// The largest integer a group may be scaled with. Two-level scales of wide matrices stay below what the kernel's 32-bit sums bear
    /// (K · 127 · 8 · scale &lt; 2^31): beyond 16 643 inputs that is less than 127, at no visible cost.
    /// </summary>
    public int LargestGroupScale => Options.Scaling switch
    {
        WeightScaling.TwoLevel => (int)Math.Min(127, int.MaxValue / (1016L * InFeatures)),
        WeightScaling.TwoLevelNarrow => (int)Math.Min(15, int.MaxValue / (1016L * InFeatures)),
        WeightScaling.IntegerScale => short.MaxValue,
        _ => 1,
    };

    public ReadOnlySpan<float> Row(int n) => Weights.AsSpan(checked((int)((long)n * InFeatures)), InFeatures);

    /// <summary>The part of a padded row that is a group: only the last one may hold some of the padding, since groups are multiples of the lanes.</summary>
    public Range Group(int g) => (g * GroupLength)..(g == Groups - 1 ? StepMath.Padded(InFeatures) : (g + 1) * GroupLength);

    /// <summary>Runs a row's work for all rows, on as many threads as there are; the rows must not depend on each other.</summary>
    public void ForRows<T>(Func<T> local, Action<int, T> row, CancellationToken cancellationToken) => Rows.For(OutFeatures, Threads, local, row, cancellationToken);

    private float[] Pad()
    {
        float[] padded = new float[StepMath.Padded(InFeatures)];
        if (Importance is null)
        {
            padded.AsSpan(0, InFeatures).Fill(1);
        }
        else
        {
            Importance.CopyTo(padded, 0);
        }

        return padded;
    }
}
