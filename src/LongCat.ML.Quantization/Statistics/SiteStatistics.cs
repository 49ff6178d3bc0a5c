namespace LongCat.ML.Quantization;

/// <summary>What calibration saw at one site. Immutable by convention: the arrays are not copied.</summary>
public sealed class SiteStatistics
{
    /// <summary>The site.</summary>
    public required LinearSite Site { get; init; }

    /// <summary>Rows (tokens) that were seen.</summary>
    public required long Rows { get; init; }

    /// <summary>The largest magnitude of any input.</summary>
    public required float MaxAbs { get; init; }

    /// <summary>[K]: the largest magnitude of each input channel.</summary>
    public required float[] AbsMax { get; init; }

    /// <summary>[K]: Σ x² of each input channel over the rows.</summary>
    public required double[] SumOfSquares { get; init; }

    /// <summary>[K·K] XᵀX over the rows, both triangles; null where it was not collected.</summary>
    public double[]? Gram { get; init; }

    /// <summary>Where the input's channels were equalized (<see cref="Equalization"/>): the largest magnitude before; null elsewhere.</summary>
    public float? UnequalizedMaxAbs { get; init; }
}
