namespace LongCat.ML.Modules;

/// <summary>How a model's own weights lie in memory.</summary>
public enum BaseWeights
{
    /// <summary>32-bit floats: everything can be trained.</summary>
    Float32,

    /// <summary>
    /// 16-bit floats (bfloat16) for matrices and tables, widened where they are used; norms, biases and routers stay float32. Frozen: adapters train on top of it.
    /// </summary>
    BFloat16,

    /// <summary>
    /// 4-bit levels with group scales, 8 bits for the output head, as <c>longcat export --precision w4a8 --recipe rtn</c> writes them; what that export leaves in the
    /// checkpoint's own precision stays in it. Frozen: adapters train on top of it, through the weights that the levels stand for (2305.14314).
    /// </summary>
    W4A8,
}
