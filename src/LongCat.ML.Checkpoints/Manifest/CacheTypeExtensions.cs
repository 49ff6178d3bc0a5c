namespace LongCat.ML.Checkpoints;

/// <summary>Facts about cache types.</summary>
public static class CacheTypeExtensions
{
    /// <summary>Bytes of one element of a cache [pages, page, <see cref="CacheLayout.Width"/>].</summary>
    /// <param name="type">The type.</param>
    /// <returns>4, 2, or 1 for <see cref="CacheType.Int8"/>, whose scales are elements of the width too.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="type"/> is none of the named ones.</exception>
    public static int ElementSize(this CacheType type) => type switch
    {
        CacheType.Float32 => 4,
        CacheType.BFloat16 => 2,
        CacheType.Int8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "expected a named cache type"),
    };
}
