namespace LongCat.ML.Quantization;

/// <summary>What is quantized and how. Null means: as the recipe says. Immutable and safe to share between threads.</summary>
public sealed partial record QuantizationOptions
{
    /// <summary>The recipe that fills what is left open; default <see cref="QuantizationRecipe.LongCat"/>.</summary>
    public QuantizationRecipe Recipe { get; init; }

    /// <summary>Inputs that share a group scale: a multiple of 32 in 32..256; 0: one scale per output channel. The last group of a row may be shorter.</summary>
    public int? GroupSize { get; init; }

    /// <summary>How group scales are kept.</summary>
    public WeightScaling? Scaling { get; init; }

    /// <summary>
    /// <see cref="WeightScaling.IntegerScale"/> only: what a group scale is multiplied with before it is rounded, 1..2^24; default 1024. 0: searched for each
    /// matrix, the smallest power of two whose rounded scales add at most 0.5 % to the error of float scales.
    /// </summary>
    public int? Amplifier { get; init; }

    /// <summary>How the inputs of linear layers get their scale.</summary>
    public ActivationScheme? Activations { get; init; }

    /// <summary>Whether a group's range may be smaller than its largest weight.</summary>
    public WeightClipping? Clipping { get; init; }

    /// <summary>Whether the error of each column is compensated in the columns after it (GPTQ, arXiv 2210.17323). Needs statistics with Gram matrices.</summary>
    public bool? Compensate { get; init; }

    /// <summary>Whether wide input channels are divided by s = max / log2(2 + max) and the norm before them and the weights take s up (FPTQ's logarithmic activation equalization). Needs statistics.</summary>
    public bool? Equalize { get; init; }

    /// <summary>Whether the experts of mixtures are quantized; default true.</summary>
    public bool Experts { get; init; } = true;

    /// <summary>Weights of the output head; default 8 bits.</summary>
    public HeadPrecision Head { get; init; } = HeadPrecision.Int8;

    /// <summary>Weights of the n-gram tables; default the checkpoint's own precision.</summary>
    public TablePrecision NGramTables { get; init; } = TablePrecision.Own;

    /// <summary>FPTQ's v0: a layer whose largest input is at most this is static. Default 15 (arXiv 2308.15987).</summary>
    public double StaticThreshold { get; init; } = 15;

    /// <summary>FPTQ's v1: a layer whose largest input is at least this is dynamic. Default 150 (arXiv 2308.15987).</summary>
    public double DynamicThreshold { get; init; } = 150;

    /// <summary>Seed of everything random (data-free calibration). Same seed, same bytes, whatever the number of threads.</summary>
    public ulong Seed { get; init; }
}
