namespace LongCat.ML.Training.Data;

/// <summary>Fisher–Yates over SplitMix64: the same order on every machine.</summary>
internal static class SeededShuffle
{
    /// <summary>Shuffles in place.</summary>
    /// <param name="values">The values.</param>
    /// <param name="state">The seed.</param>
    public static void Shuffle<T>(Span<T> values, ulong state)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            state += 0x9E3779B97F4A7C15;
            ulong z = state;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            int j = (int)(((UInt128)(z ^ (z >> 31)) * (ulong)(i + 1)) >> 64);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }
}
