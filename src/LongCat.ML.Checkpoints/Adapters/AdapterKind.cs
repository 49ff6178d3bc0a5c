namespace LongCat.ML.Checkpoints;

/// <summary>What an <see cref="AdapterMatrix"/> sits on.</summary>
public enum AdapterKind
{
    /// <summary>A projection: W [out, in] + scale · B · A. Experts and the output head are projections too.</summary>
    Linear,

    /// <summary>A table of vectors: W [rows, width] + scale · (B · A)ᵀ.</summary>
    Embedding,
}
