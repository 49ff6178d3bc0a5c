namespace LongCat.ML.Modules;

/// <summary>What a trained tensor is, which decides its learning rate and its weight decay.</summary>
public enum AdapterRole
{
    /// <summary>A [r, in] of a projection.</summary>
    A,

    /// <summary>B [out, r] of a projection, or the vector beside it.</summary>
    B,

    /// <summary>DoRA's magnitudes [out].</summary>
    Magnitude,

    /// <summary>A [r, rows] or B [width, r] of an embedding.</summary>
    Embedding,

    /// <summary>A module that is trained whole.</summary>
    Saved,

    /// <summary>An n-gram table [rows, width]; its gradient comes from <see cref="AdaptedModel.TakeTableGradients"/>.</summary>
    NGramTable,
}
