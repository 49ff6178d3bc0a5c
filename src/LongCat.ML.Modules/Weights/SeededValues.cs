namespace LongCat.ML.Modules;

/// <summary>Random values that are the same on every machine and independent of libtorch's generator: SplitMix64, one stream per name.</summary>
internal static class SeededValues
{
    /// <summary>The state of a name's stream.</summary>
    public static ulong Stream(ulong seed, string name)
    {
        // FNV-1a of the name, so that a tensor's values do not depend on the others.
        ulong hash = 14695981039346656037;
        foreach (char c in name)
        {
            hash = (hash ^ c) * 1099511628211;
        }

        return seed ^ hash;
    }

    /// <summary>Normal values around 0 (Box–Muller).</summary>
    public static void Normal(Span<float> values, double deviation, ulong state)
    {
        for (int i = 0; i < values.Length; i += 2)
        {
            double radius = Math.Sqrt(-2 * Math.Log(1 - Next(ref state))) * deviation;
            double angle = 2 * Math.PI * Next(ref state);
            values[i] = (float)(radius * Math.Cos(angle));
            if (i + 1 < values.Length)
            {
                values[i + 1] = (float)(radius * Math.Sin(angle));
            }
        }
    }

    /// <summary>Values that are equally likely within ±<paramref name="bound"/>.</summary>
    public static void Uniform(Span<float> values, double bound, ulong state)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)(((2 * Next(ref state)) - 1) * bound);
        }
    }

    /// <summary>Mixes numbers into one, for seeds.</summary>
    public static ulong Mix(ulong a, ulong b)
    {
        ulong state = a ^ (b * 0x9E3779B97F4A7C15);
        return Bits(ref state);
    }

    private static double Next(ref ulong state) => (Bits(ref state) >> 11) * (1.0 / (1ul << 53));

    private static ulong Bits(ref ulong state)
    {
        state += 0x9E3779B97F4A7C15;
        ulong z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
