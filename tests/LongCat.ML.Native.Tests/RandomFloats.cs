namespace LongCat.ML.Native.Tests;

/// <summary>Values for the inputs of operators.</summary>
internal static class RandomFloats
{
    /// <summary>Evenly from -scale to scale.</summary>
    public static float[] Floats(this Random random, long count, float scale = 1) => [.. Enumerable.Range(0, checked((int)count)).Select(_ => ((random.NextSingle() * 2) - 1) * scale)];
}
