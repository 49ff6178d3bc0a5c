namespace LongCat.ML.Quantization.Tests;

/// <summary>Weights with fixed seeds, and the options to quantize them with.</summary>
internal static class Samples
{
    public static MatrixReport Report { get; } = new() { Name = "w", Site = "x", Scheme = "nearest", Activation = "dynamic", Branch = "dynamic" };

    public static LinearSite Site(int channels) => new() { Name = "x", Channels = channels, Weights = ["w"] };

    public static float[] Gaussian(int count, double sigma, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(sigma * Normal(random)))];
    }

    public static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    public static QuantizedMatrix Quantize(QuantizationOptions options, float[] weights, int n, int k, int threads = -1) =>
        new MatrixQuantizer(options.Resolve(), null) { Threads = threads }.Quantize("w", weights, n, k, Site(k));

    /// <summary>‖a - b‖ / ‖a‖.</summary>
    public static double Relative(float[] exact, float[] got) =>
        Math.Sqrt(exact.Zip(got, (a, b) => Math.Pow((double)a - b, 2)).Sum() / exact.Sum(a => (double)a * a));
}
