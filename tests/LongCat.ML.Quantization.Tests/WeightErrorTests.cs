using Xunit.Abstractions;

namespace LongCat.ML.Quantization.Tests;

/// <summary>Our steps against those of ONNX Runtime's MatMulNBits: the block's largest magnitude, with its sign, over -8, as a float per block.</summary>
public sealed class WeightErrorTests(ITestOutputHelper output)
{
    private const int N = 128, K = 1024;

    private static readonly Dictionary<string, Func<Random, double>> Distributions = new()
    {
        ["normal"] = Samples.Normal,
        ["uniform"] = random => random.NextDouble() - 0.5,
        ["Laplace"] = random => Math.Log(1 - random.NextDouble()) * (random.Next(2) == 0 ? 1 : -1),
        ["Student, 3 degrees"] = random => Samples.Normal(random) / Math.Sqrt(Enumerable.Range(0, 3).Sum(_ => Math.Pow(Samples.Normal(random), 2)) / 3),
        ["normal, 0.2 % times 8"] = random => Samples.Normal(random) * (random.NextDouble() < 0.002 ? 8 : 1),
    };

    [Fact]
    public void Weights_are_nearer_than_with_a_signed_float_scale_per_block()
    {
        int[] groups = [32, 64, 128, 256];
        output.WriteLine("relative error of the weights: signed float scale per block / two levels to 127, grid / to 15, grid / to 127, no clipping");
        foreach ((string name, Func<Random, double> distribution) in Distributions)
        {
            Random random = new(11);
            float[] weights = [.. Enumerable.Range(0, N * K).Select(_ => (float)(0.03 * distribution(random)))];
            foreach (int group in groups)
            {
                double signed = Samples.Relative(weights, Samples.SignedScales(weights, group));
                double Error(WeightScaling scaling, WeightClipping clipping) => Samples.Relative(weights,
                    Samples.Quantize(new() { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = group, Scaling = scaling, Clipping = clipping }, weights, N, K).Dequantize());
                double wide = Error(WeightScaling.TwoLevel, WeightClipping.Grid), narrow = Error(WeightScaling.TwoLevelNarrow, WeightClipping.Grid), plain = Error(WeightScaling.TwoLevel, WeightClipping.None);
                output.WriteLine(FormattableString.Invariant($"{name,-22} g={group,-3} {signed:F4} / {wide:F4} / {narrow:F4} / {plain:F4}"));
                Assert.True(wide < signed, $"{name}, groups of {group}: {wide} against {signed}");
                // The coarser integers make up for it but where a group's weights are few and one of them far out.
                Assert.True(narrow < signed * 1.02, $"{name}, groups of {group}: integers to 15 give {narrow} against {signed}");
                Assert.True(wide <= narrow && wide < plain, $"{name}, groups of {group}: {wide}, {narrow}, {plain}");
            }
        }
    }
}
