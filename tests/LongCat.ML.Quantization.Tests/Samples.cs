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

    /// <summary>[rows, channels]: a quarter as many sources mixed into the channels, a little noise, and channels of very different sizes.</summary>
    public static float[] Correlated(int rows, int channels, int seed)
    {
        Random random = new(seed);
        int sources = Math.Max(1, channels / 4);
        double[] mixing = [.. Enumerable.Range(0, sources * channels).Select(_ => Normal(random) / Math.Sqrt(sources))];
        double[] sizes = [.. Enumerable.Range(0, channels).Select(_ => Math.Exp(0.7 * Normal(random)))];
        float[] x = new float[rows * channels];
        for (int row = 0; row < rows; row++)
        {
            double[] source = [.. Enumerable.Range(0, sources).Select(_ => Normal(random))];
            for (int j = 0; j < channels; j++)
            {
                double value = 0.3 * Normal(random);
                for (int i = 0; i < sources; i++)
                {
                    value += source[i] * mixing[(i * channels) + j];
                }

                x[(row * channels) + j] = (float)(value * sizes[j]);
            }
        }

        return x;
    }

    public static SiteStatistics Statistics(int channels, float[] x)
    {
        SiteAccumulator accumulator = new(Site(channels), gram: true);
        accumulator.Add(x);
        return accumulator.Complete();
    }

    /// <summary>‖X·(A - B)ᵀ‖ / ‖X·Aᵀ‖.</summary>
    public static double OutputError(float[] exact, float[] got, double[] gram, int n, int k)
    {
        double error = 0;
        double output = 0;
        for (int row = 0; row < n; row++)
        {
            for (int i = 0; i < k; i++)
            {
                double inner = 0;
                double whole = 0;
                for (int j = 0; j < k; j++)
                {
                    inner += gram[(i * k) + j] * ((double)exact[(row * k) + j] - got[(row * k) + j]);
                    whole += gram[(i * k) + j] * exact[(row * k) + j];
                }

                error += inner * ((double)exact[(row * k) + i] - got[(row * k) + i]);
                output += whole * exact[(row * k) + i];
            }
        }

        return Math.Sqrt(error / output);
    }

    public static float[] FloatScales(float[] weights, int group) => [.. weights.Chunk(group).SelectMany(block =>
    {
        float step = block.Max(Math.Abs) / 7;
        return block.Select(weight => step * Math.Clamp(MathF.Round(weight / step), -8, 7));
    })];

    // MatMulNBits: the value of the largest magnitude, with its sign, over -8.
    public static float[] SignedScales(float[] weights, int group) => [.. weights.Chunk(group).SelectMany(block =>
    {
        float step = block.MaxBy(Math.Abs) / -8;
        return block.Select(weight => step * Math.Clamp(MathF.Round(weight / step), -8, 7));
    })];
}
