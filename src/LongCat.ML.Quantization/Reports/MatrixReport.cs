namespace LongCat.ML.Quantization;

/// <summary>How one matrix was quantized and how well.</summary>
public sealed record MatrixReport
{
    /// <summary>The matrix, as the checkpoint names it.</summary>
    public required string Name { get; init; }

    /// <summary>Name of the site that it reads.</summary>
    public required string Site { get; init; }

    /// <summary>How levels were chosen: <c>nearest</c>, <c>compensated</c>, <c>int8</c>…</summary>
    public required string Scheme { get; init; }

    /// <summary>N.</summary>
    public int OutFeatures { get; init; }

    /// <summary>K.</summary>
    public int InFeatures { get; init; }

    /// <summary>Inputs that share a group scale; 0: one scale per channel.</summary>
    public int GroupSize { get; init; }

    /// <summary>How group scales are kept.</summary>
    public WeightScaling Scaling { get; init; }

    /// <summary>The amplifier of Integer Scale; 0 elsewhere.</summary>
    public int Amplifier { get; init; }

    /// <summary><c>dynamic</c> or <c>static</c>.</summary>
    public required string Activation { get; init; }

    /// <summary>Which rule chose the inputs' scale, and why.</summary>
    public required string Branch { get; init; }

    /// <summary>The largest magnitude of the inputs over calibration; 0 without statistics.</summary>
    public double InputMaxAbs { get; init; }

    /// <summary>
    /// ‖error‖ / ‖exact‖: of the layer's output over calibration where there are statistics (channels taken as independent where only their second
    /// moments are known), else of the weights.
    /// </summary>
    public double RelativeError { get; init; }

    /// <summary>Share of the weights that lie beyond the outermost levels by more than half a step.</summary>
    public double ClippedShare { get; init; }

    /// <summary>The largest magnitude the kernel's 32-bit sums can reach, as a share of 2^31.</summary>
    public double OverflowShare { get; init; }

    /// <summary>Calibration rows behind it; 0: none reached the layer, it was quantized without data.</summary>
    public long CalibrationRows { get; init; }
}
