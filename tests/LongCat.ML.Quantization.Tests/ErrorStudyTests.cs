using System.Numerics;
using Xunit.Abstractions;

namespace LongCat.ML.Quantization.Tests;

/// <summary>
/// What the scales' formats cost, on weights that are normal with a spread between channels and some large ones, and 8-bit inputs: the relative error of the
/// layer's output, printed as a table.
/// </summary>
public sealed class ErrorStudyTests(ITestOutputHelper output)
{
    private const int N = 256, K = 4096, Tokens = 16;

    [Fact]
    public void Two_level_scales_cost_nothing_and_a_fixed_amplifier_depends_on_the_weights_magnitude()
    {
        (int Group, double Sigma)[] columns = [(32, 0.02), (128, 0.02), (128, 0.005), (256, 0.005), (128, 0.002)];
        Dictionary<string, Func<float[], int, float[]>> schemes = new()
        {
            ["float group scales, max / 7"] = Samples.FloatScales,
            ["block's largest magnitude on level -8, float scales"] = Samples.SignedScales,
            ["Integer Scale, 1024"] = Scheme(new() { Scaling = WeightScaling.IntegerScale }),
            ["Integer Scale, searched"] = Scheme(new() { Scaling = WeightScaling.IntegerScale, Amplifier = 0 }),
            ["two levels, integers to 15"] = Scheme(new() { Scaling = WeightScaling.TwoLevelNarrow }),
            ["two levels, integers to 127"] = Scheme(new() { Scaling = WeightScaling.TwoLevel }),
            ["two levels, integers to 15, grid"] = Scheme(new() { Scaling = WeightScaling.TwoLevelNarrow, Clipping = WeightClipping.Grid }),
            ["two levels, integers to 127, grid"] = Scheme(new() { Scaling = WeightScaling.TwoLevel, Clipping = WeightClipping.Grid }),
            ["per channel"] = Scheme(new() { Scaling = WeightScaling.PerChannel }),
            ["per channel, grid"] = Scheme(new() { Scaling = WeightScaling.PerChannel, Clipping = WeightClipping.Grid }),
        };
        Dictionary<string, double[]> errors = schemes.ToDictionary(scheme => scheme.Key, _ => new double[columns.Length]);
        output.WriteLine("| scheme | " + string.Join(" | ", columns.Select(column => FormattableString.Invariant($"g={column.Group} σ={column.Sigma}"))) + " |");
        for (int c = 0; c < columns.Length; c++)
        {
            float[] weights = Spread(columns[c].Sigma), inputs = Samples.Gaussian(Tokens * K, 1, 5), rounded = Rounded(inputs);
            float[] exact = Product(inputs, weights);
            foreach ((string name, Func<float[], int, float[]> scheme) in schemes)
            {
                errors[name][c] = Samples.Relative(exact, Product(rounded, scheme(weights, columns[c].Group)));
            }
        }

        foreach ((string name, double[] row) in errors)
        {
            output.WriteLine($"| {name} | " + string.Join(" | ", row.Select(error => FormattableString.Invariant($"{error:F4}"))) + " |");
        }

        for (int c = 0; c < columns.Length; c++)
        {
            double Error(string name) => errors[name][c];
            double best = Error("two levels, integers to 127, grid");
            Assert.True(Error("two levels, integers to 127") < 1.01 * Error("float group scales, max / 7"), "two-level scales cost nothing");
            Assert.True(Error("two levels, integers to 15, grid") < 1.08 * best, "integers to 15 cost little");
            Assert.True(best < 0.95 * Error("block's largest magnitude on level -8, float scales"), "the grid beats a signed float scale per block");
            Assert.True(Error("per channel") > 1.5 * Error("two levels, integers to 127"), "groups are worth it");
            Assert.True(Error("per channel, grid") < 0.6 * Error("per channel"), "a whole channel wants clipping");
        }

        // A quarter of the magnitude: the two-level scales do not notice, the fixed amplifier does, the searched one makes up for it.
        Assert.Equal(errors["two levels, integers to 127"][1], errors["two levels, integers to 127"][2], 3);
        double[] Excess(string name) => [.. columns.Select((_, c) => errors[name][c] / errors["two levels, integers to 127"][c])];
        double[] fixedOne = Excess("Integer Scale, 1024"), searched = Excess("Integer Scale, searched");
        Assert.True(fixedOne[1] < 1.02 && fixedOne[2] > fixedOne[1] && fixedOne[4] > 1.1, "a fixed amplifier depends on the weights' magnitude: " + string.Join(", ", fixedOne));
        Assert.All(searched, excess => Assert.True(excess < 1.02, $"a searched one does not: {excess}"));
    }

    private static Func<float[], int, float[]> Scheme(QuantizationOptions options) => (weights, group) =>
        Samples.Quantize(options with { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = options.Scaling == WeightScaling.PerChannel ? 0 : group }, weights, N, K).Dequantize();

    private static float[] Spread(double sigma)
    {
        Random random = new(3);
        float[] weights = new float[N * K];
        for (int n = 0; n < N; n++)
        {
            double channel = sigma * Math.Exp(0.35 * Samples.Normal(random));
            for (int k = 0; k < K; k++)
            {
                weights[(n * K) + k] = (float)(channel * Samples.Normal(random) * (random.NextDouble() < 0.002 ? 4 : 1));
            }
        }

        return weights;
    }

    private static float[] Rounded(float[] inputs) => [.. inputs.Chunk(K).SelectMany(row =>
    {
        float step = row.Max(Math.Abs) / 127;
        return row.Select(value => step * MathF.Round(value / step));
    })];

    private static float[] Product(float[] inputs, float[] weights)
    {
        float[] product = new float[Tokens * N];
        Parallel.For(0, N, n =>
        {
            for (int t = 0; t < Tokens; t++)
            {
                Vector<float> sum = Vector<float>.Zero;
                for (int k = 0; k < K; k += Vector<float>.Count)
                {
                    sum += new Vector<float>(inputs, (t * K) + k) * new Vector<float>(weights, (n * K) + k);
                }

                product[(t * N) + n] = Vector.Sum(sum);
            }
        });
        return product;
    }
}
