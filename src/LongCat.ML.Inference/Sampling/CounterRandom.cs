namespace LongCat.ML.Inference.Sampling;

/// <summary>
/// Random numbers by counter: the number for (seed, position) depends on nothing else, so a request draws the same tokens in any batch and after a preemption.
/// Two rounds of the SplitMix64 finalizer (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
/// </summary>
internal static class CounterRandom
{
    /// <summary>A number in [0, 1) with 53 random bits.</summary>
    public static double Uniform(ulong seed, int position) =>
        (Mix(Mix(seed + 0x9E3779B97F4A7C15UL) ^ ((ulong)(uint)position * 0xD1342543DE82EF95UL)) >> 11) * (1.0 / (1UL << 53));

    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9UL;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EBUL;
        return value ^ (value >> 31);
    }
}
