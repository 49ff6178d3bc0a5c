namespace LongCat.ML.Quantization;

/// <summary>Weights of the output head.</summary>
public enum HeadPrecision
{
    /// <summary>8 bits with a scale per output (per token of the vocabulary).</summary>
    Int8,

    /// <summary>The checkpoint's own precision.</summary>
    Own,
}
