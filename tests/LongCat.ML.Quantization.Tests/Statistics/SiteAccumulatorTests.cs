namespace LongCat.ML.Quantization.Tests;

public sealed class SiteAccumulatorTests
{
    [Theory]
    [InlineData(1, 5)]
    [InlineData(7, 130)]
    [InlineData(50, 300)]
    public void Sums_are_those_of_the_definition(int channels, int rows)
    {
        float[] x = Samples.Gaussian(channels * rows, 3, 1);
        SiteStatistics statistics = Samples.Statistics(channels, x);
        Assert.Equal(rows, statistics.Rows);
        Assert.Equal(x.Max(Math.Abs), statistics.MaxAbs);
        for (int i = 0; i < channels; i++)
        {
            Assert.Equal(Enumerable.Range(0, rows).Max(r => Math.Abs(x[(r * channels) + i])), statistics.AbsMax[i]);
            for (int j = 0; j < channels; j++)
            {
                double expected = Enumerable.Range(0, rows).Sum(r => (double)x[(r * channels) + i] * x[(r * channels) + j]);
                double size = Enumerable.Range(0, rows).Sum(r => Math.Abs((double)x[(r * channels) + i] * x[(r * channels) + j]));

                // Two orders of the same additions in double precision: at most rows · 2^-53 of the terms' sizes apart.
                Assert.Equal(expected, statistics.Gram![(i * channels) + j], size * rows * Math.Pow(2, -52));
                if (i == j)
                {
                    Assert.Equal(expected, statistics.SumOfSquares[i], size * rows * Math.Pow(2, -52));
                }
            }
        }
    }

    [Fact]
    public void The_bytes_depend_neither_on_threads_nor_on_how_rows_were_cut()
    {
        const int channels = 100, rows = 700;
        float[] x = Samples.Gaussian(channels * rows, 1, 2);
        SiteAccumulator whole = new(Samples.Site(channels), gram: true) { Threads = 1 };
        whole.Add(x);
        SiteAccumulator cut = new(Samples.Site(channels), gram: true);
        for (int row = 0, count = 0; row < rows; row += count)
        {
            count = Math.Min(rows - row, 1 + (row % 97));
            cut.Add(x.AsSpan(row * channels, count * channels));
        }

        SiteStatistics expected = whole.Complete();
        SiteStatistics got = cut.Complete();
        Assert.Equal(expected.Gram!, got.Gram!);
        Assert.Equal(expected.SumOfSquares, got.SumOfSquares);
    }

    [Fact]
    public void A_value_that_is_not_finite_is_named_and_nothing_of_its_call_is_kept()
    {
        SiteAccumulator accumulator = new(Samples.Site(4), gram: true);
        accumulator.Add(new float[8]);
        float[] bad = new float[8];
        bad[6] = float.NaN;
        Assert.Contains("row 3, channel 2 is NaN", Assert.Throws<QuantizationException>(() => accumulator.Add(bad)).Message, StringComparison.Ordinal);
        Assert.Equal(2, accumulator.Complete().Rows);
        Assert.Throws<InvalidOperationException>(() => accumulator.Add(new float[4]));
        Assert.Throws<ArgumentException>(() => new SiteAccumulator(Samples.Site(4), gram: false).Add(new float[7]));
    }
}
