namespace LongCat.ML.Modules;

/// <summary>How far a load may narrow a projection's matrix (<see cref="BaseWeights"/>).</summary>
internal enum ProjectionPrecision
{
    /// <summary>Never below float32: routers, whose choices are discrete.</summary>
    Full,

    /// <summary>To bfloat16: what the 4-bit export leaves in the checkpoint's own precision.</summary>
    Half,

    /// <summary>To 8 bits in a W4A8 model: the output head.</summary>
    EightBit,

    /// <summary>To 4 bits in a W4A8 model.</summary>
    FourBit,
}
