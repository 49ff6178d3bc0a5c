namespace LongCat.ML.Checkpoints;

/// <summary>How rotary frequencies are changed for contexts longer than the original training.</summary>
public enum RopeScalingType
{
    /// <summary>YaRN (arXiv 2309.00071, section 3.4); <c>yarn</c> and <c>deepseek_yarn</c> in config.json.</summary>
    Yarn,

    /// <summary>The rule of Llama 3.1: long wavelengths divided by the factor, a linear blend in between; <c>llama3</c>.</summary>
    Llama3,

    /// <summary>Position interpolation (arXiv 2306.15595): every frequency divided by the factor; <c>linear</c>.</summary>
    Linear,
}
