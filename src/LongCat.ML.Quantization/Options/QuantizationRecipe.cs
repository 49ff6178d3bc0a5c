namespace LongCat.ML.Quantization;

/// <summary>A published or own combination of choices; <see cref="QuantizationOptions.Resolve"/> fills what the options leave open from it.</summary>
public enum QuantizationRecipe
{
    /// <summary>The default: groups of 128, two-level scales, clipping by grid, compensation (GPTQ), dynamic activations. Needs statistics.</summary>
    LongCat,

    /// <summary>The baseline that needs no data: groups of 128, two-level scales, every weight rounded to its nearest level, dynamic activations.</summary>
    RoundToNearest,

    /// <summary>FPTQ (arXiv 2308.15987): groups of 128 by their largest magnitude, logarithmic equalization, activations static or dynamic by each layer's range.</summary>
    Fptq,

    /// <summary>OdysseyLLM (arXiv 2311.09550): one scale per channel, learned symmetric clipping, compensation (GPTQ), dynamic activations.</summary>
    Odyssey,

    /// <summary>Integer Scale (arXiv 2405.14597): groups of 128 whose scales are integers over one amplifier, 1024 by default; dynamic activations.</summary>
    IntegerScale,
}
