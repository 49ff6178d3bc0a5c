namespace LongCat.ML.Inference.Calibration;

/// <summary>How <see cref="SparseCalibrator"/> measures. Immutable.</summary>
public sealed record SparseCalibrationOptions
{
    /// <summary>
    /// The budget that attentions choose under, as it will be used; its <see cref="AttentionBudget.L0"/> is taken as 0, so that texts shorter than it say something too. Choices that the budget leaves no freedom for are not
    /// counted.
    /// </summary>
    public AttentionBudget Attention { get; init; } = new();

    /// <summary>An attention whose blocks are less similar to its anchor's becomes an anchor itself: the mean Jaccard similarity, 0 to 1. Default 0.7, the project's own: the paper names none.</summary>
    public double AnchorThreshold { get; init; } = 0.7;

    /// <summary>For which thresholds the share of channels below is counted: finite, ascending. Default those of the paper.</summary>
    public IReadOnlyList<float> Thresholds { get; init; } = [0.01f, 0.05f, 0.1f];

    /// <summary>Tokens between two choices of blocks, and the most tokens of a step: 16 to 4096. Default 128.</summary>
    public int Stride { get; init; } = 128;

    /// <summary>Threads; 0 for all cores. Default 0.</summary>
    public int Threads { get; init; }

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        ArgumentNullException.ThrowIfNull(Attention, nameof(Attention));
        Attention.Check();
        if (!(AnchorThreshold >= 0 && AnchorThreshold <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(AnchorThreshold), AnchorThreshold, $"SparseCalibrationOptions.AnchorThreshold is {AnchorThreshold}; expected a similarity from 0 to 1.");
        }

        ArgumentNullException.ThrowIfNull(Thresholds, nameof(Thresholds));
        if (!Thresholds.All(value => float.IsFinite(value) && value >= 0) || Thresholds.Zip(Thresholds.Skip(1)).Any(pair => pair.First >= pair.Second))
        {
            throw new ArgumentException($"SparseCalibrationOptions.Thresholds is [{string.Join(", ", Thresholds)}]; expected finite magnitudes from 0, ascending.", nameof(Thresholds));
        }

        if (Stride is < 16 or > 4096)
        {
            throw new ArgumentOutOfRangeException(nameof(Stride), Stride, $"SparseCalibrationOptions.Stride is {Stride}; expected 16 to 4096.");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(Threads, nameof(Threads));
    }
}
