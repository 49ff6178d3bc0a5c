namespace LongCat.ML.Quantization;

/// <summary>How the 8-bit inputs of a linear layer get their scale.</summary>
public enum ActivationScheme
{
    /// <summary>Each token has its own scale, its largest magnitude / 127.</summary>
    Dynamic,

    /// <summary>One scale per layer, the largest magnitude over calibration / 127; what goes beyond saturates.</summary>
    Static,

    /// <summary>FPTQ's rule (arXiv 2308.15987): static up to <see cref="QuantizationOptions.StaticThreshold"/>, dynamic from <see cref="QuantizationOptions.DynamicThreshold"/>, equalized and static between.</summary>
    PerLayer,
}
