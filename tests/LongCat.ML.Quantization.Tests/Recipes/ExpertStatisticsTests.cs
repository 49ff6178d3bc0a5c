namespace LongCat.ML.Quantization.Tests;

public sealed class ExpertStatisticsTests
{
    private const int Outputs = 40, Channels = 96;

    [Fact]
    public void An_expert_that_no_row_reached_takes_the_mixtures_statistics_and_the_report_says_so()
    {
        float[] x = Samples.Correlated(400, Channels, 1);
        LinearSite mixture = new() { Name = "x", Channels = Channels };
        LinearSite expert = new() { Name = "x.5", Channels = Channels, Weights = ["up.5"], Parent = "x", Expert = 5 };
        StatisticsTable statistics = new([Of(mixture, x), Of(expert, [])], 400);
        float[] weights = Samples.Gaussian(Outputs * Channels, 0.02, 2);
        QuantizedMatrix matrix = new MatrixQuantizer(new(), statistics).Quantize("up.5", weights, Outputs, Channels, expert);
        Assert.Equal(("compensated", 0L), (matrix.Report.Scheme, matrix.Report.CalibrationRows));
    }

    [Fact]
    public void Few_rows_compensate_for_new_rows_too()
    {
        // Statistics of a third as many rows as channels: without the mixture's rows, or independent ones, compensation would fit these rows alone.
        float[] x = Samples.Correlated(1000, Channels, 3);
        float[] seen = x[..(Channels / 3 * Channels)];
        double[] fresh = Samples.Statistics(Channels, x[(500 * Channels)..]).Gram!;
        float[] weights = Samples.Gaussian(Outputs * Channels, 0.02, 4);
        LinearSite alone = new() { Name = "inner.1", Channels = Channels, Weights = ["down.1"], Expert = 1 };
        LinearSite child = new() { Name = "x.1", Channels = Channels, Weights = ["up.1"], Parent = "x", Expert = 1 };
        LinearSite mixture = new() { Name = "x", Channels = Channels };
        StatisticsTable statistics = new([Of(alone, seen), Of(child, seen), Of(mixture, x[..(500 * Channels)])], 500);
        double Error(LinearSite site, bool compensate) => Samples.OutputError(
            weights,
            new MatrixQuantizer(new() { Compensate = compensate }, statistics).Quantize("w", weights, Outputs, Channels, site).Dequantize(),
            fresh,
            Outputs,
            Channels);
        double nearest = Error(alone, compensate: false);
        double compensated = Error(alone, compensate: true);
        double filled = Error(child, compensate: true);
        Assert.True(compensated < 0.97 * nearest, $"{compensated:G4} compensated on few rows, {nearest:G4} nearest");
        Assert.True(filled < 0.8 * nearest, $"{filled:G4} with the mixture's rows, {nearest:G4} nearest");
    }

    [Fact]
    public void Merged_statistics_are_those_of_all_rows()
    {
        float[] x = Samples.Correlated(300, Channels, 5);
        LinearSite site = Samples.Site(Channels);
        SiteStatistics whole = Of(site, x);
        SiteStatistics merged = SiteStatistics.Merge([Of(site, x[..(100 * Channels)]), Of(site, []), Of(site, x[(100 * Channels)..])]);
        Assert.Equal((whole.Rows, whole.MaxAbs), (merged.Rows, merged.MaxAbs));
        Assert.Equal(whole.AbsMax, merged.AbsMax);
        for (int i = 0; i < Channels; i++)
        {
            Assert.Equal(whole.Gram![i * (Channels + 1)], merged.Gram![i * (Channels + 1)], 1e-12 * whole.Gram[i * (Channels + 1)]);
        }

        Assert.Contains("do not go with", Assert.Throws<ArgumentException>(() => SiteStatistics.Merge([whole, Of(new() { Name = "y", Channels = Channels }, x)])).Message, StringComparison.Ordinal);
    }

    private static SiteStatistics Of(LinearSite site, float[] rows)
    {
        SiteAccumulator accumulator = new(site, gram: true);
        accumulator.Add(rows);
        return accumulator.Complete();
    }
}
