namespace LongCat.ML.Quantization.Tests;

public sealed class CompensationRecipeTests
{
    [Theory]
    [InlineData(WeightScaling.TwoLevel, 32, WeightClipping.Grid)]
    [InlineData(WeightScaling.TwoLevel, 128, WeightClipping.None)]
    [InlineData(WeightScaling.TwoLevelNarrow, 64, WeightClipping.Grid)]
    [InlineData(WeightScaling.IntegerScale, 128, WeightClipping.Learned)]
    [InlineData(WeightScaling.PerChannel, 0, WeightClipping.Learned)]
    public void On_correlated_inputs_the_output_is_nearer_than_with_nearest_levels(WeightScaling scaling, int group, WeightClipping clipping)
    {
        const int n = 50, k = 200;
        for (int seed = 0; seed < 3; seed++)
        {
            float[] x = Samples.Correlated(800, k, 10 + seed);
            float[] weights = Samples.Gaussian(n * k, 0.02, 20 + seed);
            SiteStatistics statistics = Samples.Statistics(k, x);
            QuantizationOptions options = new() { Scaling = scaling, GroupSize = group, Clipping = clipping, Amplifier = 16384 };
            QuantizedMatrix nearest = Quantize(options with { Compensate = false }, weights, n, k, statistics);
            QuantizedMatrix compensated = Quantize(options with { Compensate = true }, weights, n, k, statistics);
            double before = Samples.OutputError(weights, nearest.Dequantize(), statistics.Gram!, n, k);
            double after = Samples.OutputError(weights, compensated.Dequantize(), statistics.Gram!, n, k);
            Assert.True(after < 0.75 * before, $"seed {seed}: {after:G4} compensated, {before:G4} nearest");
            Assert.Equal(("compensated", "nearest"), (compensated.Report.Scheme, nearest.Report.Scheme));

            // Exact for the rows it samples, here all of them.
            Assert.Equal(after, compensated.Report.RelativeError, 1e-4 * after);
        }
    }

    [Fact]
    public void Threads_do_not_change_a_byte()
    {
        const int n = 150, k = 300;
        SiteStatistics statistics = Samples.Statistics(k, Samples.Correlated(500, k, 1));
        float[] weights = Samples.Gaussian(n * k, 0.02, 2);
        QuantizedMatrix one = Quantize(new(), weights, n, k, statistics, threads: 1);
        QuantizedMatrix all = Quantize(new(), weights, n, k, statistics);
        Assert.Equal(one.Levels, all.Levels);
        Assert.Equal(one.GroupScales!, all.GroupScales!);
        Assert.Equal(one.Scales, all.Scales);
        Assert.Equal(one.Report, all.Report);
    }

    [Fact]
    public void Rows_of_zeros_and_tiny_weights_survive()
    {
        const int n = 20, k = 100;
        SiteStatistics statistics = Samples.Statistics(k, Samples.Correlated(300, k, 1));
        float[] weights = Samples.Gaussian(n * k, 1e-30, 2);
        weights.AsSpan(3 * k, k).Clear();
        QuantizedMatrix matrix = Quantize(new() { GroupSize = 32 }, weights, n, k, statistics);
        Assert.All(matrix.Levels[(3 * k)..(4 * k)], level => Assert.Equal(0, level));
        Assert.InRange(matrix.Report.RelativeError, 1e-3, 0.2);
    }

    [Fact]
    public void Statistics_without_a_Gram_matrix_are_refused_and_no_rows_mean_nearest_levels()
    {
        const int k = 64;
        float[] weights = Samples.Gaussian(8 * k, 0.02, 2);
        SiteAccumulator light = new(Samples.Site(k), gram: false);
        light.Add(Samples.Correlated(100, k, 1));
        string message = Assert.Throws<QuantizationException>(() => Quantize(new(), weights, 8, k, light.Complete())).Message;
        Assert.StartsWith("site x: the statistics have no Gram matrix", message, StringComparison.Ordinal);
        QuantizedMatrix matrix = Quantize(new(), weights, 8, k, new SiteAccumulator(Samples.Site(k), gram: true).Complete());
        Assert.Equal(("nearest", 0L), (matrix.Report.Scheme, matrix.Report.CalibrationRows));
    }

    private static QuantizedMatrix Quantize(QuantizationOptions options, float[] weights, int n, int k, SiteStatistics statistics, int threads = -1) =>
        new MatrixQuantizer(options, new StatisticsTable([statistics], statistics.Rows)) { Threads = threads }.Quantize("w", weights, n, k, statistics.Site);
}
