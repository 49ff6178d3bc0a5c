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

    [Fact]
    public void Zeros_stay_zeros_whole_rows_and_single_groups()
    {
        const int n = 4, k = 96;
        float[] weights = Samples.Gaussian(n * k, 0.1, 2);
        Array.Clear(weights, k, k);           // row 1
        Array.Clear(weights, (2 * k) + 32, 32);  // the second group of row 2
        foreach (QuantizationOptions options in Formats)
        {
            QuantizedMatrix matrix = Samples.Quantize(options with { GroupSize = options.Scaling == WeightScaling.PerChannel ? 0 : 32 }, weights, n, k);
            float[] got = matrix.Dequantize();
            Assert.All(got, value => Assert.True(float.IsFinite(value)));
            Assert.All(Enumerable.Range(k, k).Concat(Enumerable.Range((2 * k) + 32, 32)), i => Assert.Equal(0, got[i]));
            Assert.All(matrix.GroupScales ?? [], scale => Assert.NotEqual(0, scale));
            Assert.Equal(options.Scaling == WeightScaling.IntegerScale ? 1f / 1024 : 0, matrix.Scales[1]);
        }
    }

    [Theory]
    [InlineData(1e-45f)]
    [InlineData(3e-40f)]
    [InlineData(1e-38f)]
    [InlineData(1e-20f)]
    [InlineData(1e20f)]
    [InlineData(3e37f)]
    public void The_magnitude_of_the_weights_does_not_matter(float magnitude)
    {
        const int n = 3, k = 130;
        float[] unit = Samples.Gaussian(n * k, 1, 3), weights = [.. unit.Select(weight => Math.Clamp(weight, -4, 4) * magnitude)];
        foreach (QuantizationOptions options in Formats.Where(options => options.Scaling != WeightScaling.IntegerScale))
        {
            QuantizedMatrix matrix = Samples.Quantize(options, weights, n, k);
            Assert.All(matrix.Scales, scale => Assert.True(float.IsFinite(scale)));
            Assert.All(matrix.Dequantize(), weight => Assert.True(float.IsFinite(weight)));
            // Below 1e-38 a step has few bits left, in the end none: the weights are as good as zeros then.
            double error = matrix.Report.RelativeError, most = magnitude < 1e-44f ? 1 : magnitude < 1e-38f ? 0.25 : 0.14;
            Assert.InRange(error, 0, most);
        }

        QuantizedInt8Matrix bytes = new MatrixQuantizer(Nearest with { Clipping = WeightClipping.Grid }, null).QuantizeInt8("w", weights, n, k);
        Assert.All(bytes.Dequantize(), weight => Assert.True(float.IsFinite(weight)));
        Assert.True(magnitude < 1e-38f || Samples.Relative(weights, bytes.Dequantize()) < 0.01);
    }

    [Fact]
    public void Integer_scale_of_weights_below_its_unit_rounds_them_away_and_says_so()
    {
        QuantizedMatrix matrix = Samples.Quantize(new() { Recipe = QuantizationRecipe.IntegerScale }, Samples.Gaussian(2 * 64, 1e-9, 1), 2, 64);
        Assert.All(matrix.Dequantize(), weight => Assert.Equal(0, weight));
        Assert.Equal(1, matrix.Report.RelativeError);
        QuantizedMatrix searched = Samples.Quantize(new() { Recipe = QuantizationRecipe.IntegerScale, Amplifier = 0 }, Samples.Gaussian(2 * 64, 1e-3, 1), 2, 64);
        Assert.True(searched.Report.RelativeError < 0.12 && searched.Report.Amplifier > 1024, $"{searched.Report}");
    }

    [Fact]
    public void An_amplifier_whose_sums_could_overflow_is_refused_with_the_numbers()
    {
        const int k = 14_336;
        float[] weights = Samples.Gaussian(2 * k, 0.5, 6);
        string message = Assert.Throws<QuantizationException>(() => Samples.Quantize(new() { Recipe = QuantizationRecipe.IntegerScale }, weights, 2, k)).Message;
        Assert.Matches(@"^w: with 14336 inputs and group scales up to \d+ the kernel's sums could reach 127 · 8 · Σ \|group\| · scale = \d{10}, beyond 2\^31 - 1 = 2147483647; use a smaller Amplifier", message);

        // The searched one stays within the bound, and so do two-level scales however wide the matrix is.
        Assert.True(Samples.Quantize(new() { Recipe = QuantizationRecipe.IntegerScale, Amplifier = 0 }, weights, 2, k).Report.OverflowShare < 1);
        const int wide = 40_000;
        QuantizedMatrix matrix = Samples.Quantize(Nearest, Samples.Gaussian(wide, 0.02, 7), 1, wide);
        Assert.InRange(matrix.GroupScales!.Max(Math.Abs), 40, int.MaxValue / (1016 * wide));
        Assert.True(matrix.Report.RelativeError < 0.12 && matrix.Report.OverflowShare < 1);
        W4A8Packing.Pack(matrix, new MemoryStream());
    }

    [Fact]
    public void Threads_change_no_byte()
    {
        const int n = 70, k = 333;
        float[] weights = Samples.Gaussian(n * k, 0.02, 8);
        foreach (QuantizationOptions options in Formats)
        {
            byte[] one = W4A8PackingTests.Pack(Samples.Quantize(options, weights, n, k, threads: 1)), all = W4A8PackingTests.Pack(Samples.Quantize(options, weights, n, k, threads: 7));
            Assert.Equal(one, all);
        }

        MatrixQuantizer Quantizer(int threads) => new(Nearest with { Clipping = WeightClipping.Grid }, null) { Threads = threads };
        Assert.Equal(Quantizer(1).QuantizeInt8("w", weights, n, k).Levels, Quantizer(7).QuantizeInt8("w", weights, n, k).Levels);
    }

    [Fact]
    public void Important_inputs_get_the_smaller_errors()
    {
        const int n = 16, k = 256;
        float[] weights = Samples.Gaussian(n * k, 0.02, 9);
        // One input in eight is ten times as large as the others.
        float[] inputs = [.. Samples.Gaussian(512 * k, 1, 10).Select((x, i) => i % 8 == 0 ? 10 * x : x)];
        SiteStatistics statistics = Samples.Statistics(k, inputs);
        StatisticsTable table = new([statistics], 512);
        QuantizationOptions options = Nearest with { Clipping = WeightClipping.Grid };
        QuantizedMatrix blind = Samples.Quantize(options, weights, n, k), informed = new MatrixQuantizer(options, table).Quantize("w", weights, n, k, Samples.Site(k));
        double Error(QuantizedMatrix matrix) => Samples.OutputError(weights, matrix.Dequantize(), statistics.Gram!, n, k);
        Assert.True(Error(informed) < 0.95 * Error(blind), $"{Error(informed)} against {Error(blind)}");
        Assert.Equal(512, informed.Report.CalibrationRows);
        // The report takes inputs as independent, which these are.
        Assert.Equal(Error(informed), informed.Report.RelativeError, 2);
    }

    [Fact]
    public void The_clipped_share_counts_what_lies_beyond_the_outermost_levels()
    {
        QuantizedMatrix plain = Samples.Quantize(Nearest with { Scaling = WeightScaling.PerChannel }, Samples.Gaussian(4 * 512, 1, 12), 4, 512);
        Assert.Equal(0, plain.Report.ClippedShare);
        float[] weights = Samples.Gaussian(4 * 512, 1, 12);
        QuantizedMatrix clipped = Samples.Quantize(Nearest with { Scaling = WeightScaling.PerChannel, Clipping = WeightClipping.Grid }, weights, 4, 512);
        int beyond = weights.Where((weight, i) => weight / clipped.Scales[i / 512] is < -8.5f or > 7.5f).Count();
        Assert.True(beyond > 0);
        Assert.Equal(beyond / (double)weights.Length, clipped.Report.ClippedShare, 9);
    }

    [Fact]
    public void Statistics_of_another_model_are_refused()
    {
        StatisticsTable table = new([Samples.Statistics(64, new float[64])], 1);
        LinearSite site = Samples.Site(128);
        string message = Assert.Throws<QuantizationException>(() => new MatrixQuantizer(Nearest, new StatisticsTable([Samples.Statistics(64, Samples.Gaussian(64, 1, 1))], 1)).Quantize("w", new float[128], 1, 128, site)).Message;
        Assert.Contains("has 128 inputs, but the statistics of x have 64", message, StringComparison.Ordinal);
        Assert.Contains("its site x has 128 channels", Assert.Throws<QuantizationException>(() => new MatrixQuantizer(Nearest, table).Quantize("w", new float[64], 1, 64, site)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cancelled_run_stops()
    {
        using CancellationTokenSource source = new();
        source.Cancel();
        Assert.ThrowsAny<OperationCanceledException>(() => new MatrixQuantizer(Nearest, null).Quantize("w", new float[64 * 64], 64, 64, Samples.Site(64), source.Token));
    }

    private static IEnumerable<QuantizationOptions> Formats =>
        from scaling in Enum.GetValues<WeightScaling>()
        from clipping in new[] { WeightClipping.None, WeightClipping.Grid }
        select Nearest with { Scaling = scaling, Clipping = clipping };
}
