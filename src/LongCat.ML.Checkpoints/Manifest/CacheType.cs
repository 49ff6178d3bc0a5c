namespace LongCat.ML.Checkpoints;

/// <summary>The element type of the attention caches of an exported model.</summary>
public enum CacheType
{
    /// <summary>IEEE float32, 4 bytes an element; written as <c>float32</c> in longcat.json.</summary>
    Float32,

    /// <summary>bfloat16, 2 bytes an element; written as <c>bfloat16</c> in longcat.json.</summary>
    BFloat16,

    /// <summary>
    /// 8-bit integers with a float32 scale for every row of them, 1 byte an element and 4 a scale; written as <c>int8</c> in longcat.json. The caches are bytes to whoever binds them.
    /// </summary>
    Int8,
}
