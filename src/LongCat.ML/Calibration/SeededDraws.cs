namespace LongCat.ML.Calibration;

/// <summary>Pseudo-random numbers that are the same on every machine and runtime: SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).</summary>
internal sealed class SeededDraws(ulong seed)
{
    private ulong state = seed;

    /// <summary>A whole number from 0 to <paramref name="end"/> - 1, all equally likely up to one part in 2^64 / end.</summary>
    public long Next(long end) => (long)Math.BigMul(Next(), (ulong)end, out _);

    private ulong Next()
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
