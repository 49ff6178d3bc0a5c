namespace LongCat.ML.Checkpoints;

/// <summary>The element types of the safetensors format that this package reads and writes.</summary>
public enum TensorType
{
    /// <summary>IEEE 754 binary32 (<c>F32</c>).</summary>
    Float32,

    /// <summary>The upper half of a binary32: 8 exponent and 7 fraction bits (<c>BF16</c>).</summary>
    BFloat16,

    /// <summary>IEEE 754 binary16 (<c>F16</c>).</summary>
    Float16,

    /// <summary>IEEE 754 binary64 (<c>F64</c>).</summary>
    Float64,

    /// <summary>8 bits, 4 exponent and 3 fraction bits, no infinities, largest finite value 448 (<c>F8_E4M3</c>, the "fn" variant).</summary>
    Float8E4M3,

    /// <summary>8 bits, 5 exponent and 2 fraction bits, with infinities (<c>F8_E5M2</c>).</summary>
    Float8E5M2,

    /// <summary>Signed 64-bit integer (<c>I64</c>).</summary>
    Int64,

    /// <summary>Signed 32-bit integer (<c>I32</c>).</summary>
    Int32,

    /// <summary>Signed 16-bit integer (<c>I16</c>).</summary>
    Int16,

    /// <summary>Signed 8-bit integer (<c>I8</c>).</summary>
    Int8,

    /// <summary>Unsigned 8-bit integer (<c>U8</c>).</summary>
    UInt8,

    /// <summary>Unsigned 16-bit integer (<c>U16</c>).</summary>
    UInt16,

    /// <summary>Unsigned 32-bit integer (<c>U32</c>).</summary>
    UInt32,

    /// <summary>Unsigned 64-bit integer (<c>U64</c>).</summary>
    UInt64,

    /// <summary>One byte per truth value (<c>BOOL</c>).</summary>
    Bool,
}
