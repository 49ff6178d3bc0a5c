namespace LongCat.ML.Quantization;

/// <summary>Weights of the n-gram tables.</summary>
public enum TablePrecision
{
    /// <summary>The checkpoint's own precision.</summary>
    Own,

    /// <summary>8 bits with a scale per row, kept in the row.</summary>
    Int8,
}
