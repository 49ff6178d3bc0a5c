namespace LongCat.ML.Quantization.Tests;

public sealed class MatrixQuantizerTests
{
    private static readonly QuantizationOptions Nearest = new() { Recipe = QuantizationRecipe.RoundToNearest };

    [Fact]
    public void No_weight_is_further_off_than_half_a_step_where_nothing_is_clipped()
    {
        const int n = 5, k = 300, group = 64;
        float[] weights = Samples.Gaussian(n * k, 0.02, 1);
        QuantizedMatrix matrix = Samples.Quantize(Nearest with { GroupSize = group }, weights, n, k);
        float[] got = matrix.Dequantize();
        for (int i = 0; i < weights.Length; i++)
        {
            float step = Math.Abs(matrix.Scales[i / k] * matrix.GroupScales![(i / k * 5) + (i % k / group)]);
            // The integer scale of a group may lie below the wanted one by half of an integer: level 7 (-8) of it is that much short.
            Assert.True(Math.Abs(weights[i] - got[i]) <= (0.5f * step) + (4 * Math.Abs(matrix.Scales[i / k])), $"{i}: {weights[i]} became {got[i]}, step {step}");
        }

        Assert.Equal(Samples.Relative(weights, got), matrix.Report.RelativeError, 6);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_weight_that_is_not_finite_is_named(float bad)
    {
        float[] weights = new float[6 * 40];
        weights[(4 * 40) + 17] = bad;
        weights[(5 * 40) + 1] = bad;
        foreach (Action action in new Action[]
        {
            () => Samples.Quantize(Nearest, weights, 6, 40),
            () => new MatrixQuantizer(Nearest, null).QuantizeInt8("w", weights, 6, 40),
        })
        {
            Assert.StartsWith(FormattableString.Invariant($"tensor w: the weight at row 4, column 17 is {bad}, expected a finite number"), Assert.Throws<QuantizationException>(action).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_recipe_that_needs_statistics_says_so()
    {
        string message = Assert.Throws<QuantizationException>(() => new MatrixQuantizer(new QuantizationOptions(), null)).Message;
        Assert.StartsWith("recipe LongCat: needs statistics", message, StringComparison.Ordinal);
    }
}
