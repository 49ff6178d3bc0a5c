namespace LongCat.ML.Checkpoints;

/// <summary>The <c>rope_scaling</c> (or <c>rope_parameters</c>) object of config.json.</summary>
public sealed record RopeScaling
{
    /// <summary>The rule.</summary>
    public required RopeScalingType Type { get; init; }

    /// <summary>How many times the original context the scaled one is; at least 1.</summary>
    public required double Factor { get; init; }

    /// <summary>The context length of the original training, in tokens; not used by <see cref="RopeScalingType.Linear"/>.</summary>
    public int OriginalMaxPositions { get; init; } = 8192;

    /// <summary>YaRN: frequencies that turn more often than this over the original context stay as they are.</summary>
    public double BetaFast { get; init; } = 32;

    /// <summary>YaRN: frequencies that turn less often than this over the original context are divided by the factor.</summary>
    public double BetaSlow { get; init; } = 1;

    /// <summary>YaRN: the scale in the numerator of the multiplier on cos and sin; null when config.json does not give it.</summary>
    public double? MScale { get; init; }

    /// <summary>YaRN: the scale in the denominator, and of the factor on the softmax scale; null when config.json does not give it.</summary>
    public double? MScaleAllDim { get; init; }

    /// <summary>YaRN: the multiplier on cos and sin, given outright; null when config.json does not give it.</summary>
    public double? AttentionFactor { get; init; }

    /// <summary>YaRN: whether the ends of the ramp are rounded to whole dimensions.</summary>
    public bool Truncate { get; init; } = true;

    /// <summary>Llama 3: wavelengths above the original context divided by this are fully scaled.</summary>
    public double LowFrequencyFactor { get; init; } = 1;

    /// <summary>Llama 3: wavelengths below the original context divided by this stay as they are.</summary>
    public double HighFrequencyFactor { get; init; } = 4;
}
