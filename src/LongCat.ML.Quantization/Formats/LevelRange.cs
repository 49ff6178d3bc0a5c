namespace LongCat.ML.Quantization;

/// <summary>The levels there are, both ends included.</summary>
internal readonly record struct LevelRange(float Low, float High)
{
    /// <summary>4 bits, two's complement.</summary>
    public static LevelRange FourBits => new(-8, 7);

    /// <summary>8 bits, symmetric: products of two have a bound of 127 · 127.</summary>
    public static LevelRange EightBits => new(-127, 127);
}
