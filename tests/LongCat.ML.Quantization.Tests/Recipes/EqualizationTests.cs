namespace LongCat.ML.Quantization.Tests;

public sealed class EqualizationTests
{
    private const int Channels = 24;

    private static readonly QuantizationOptions Fptq = new() { Recipe = QuantizationRecipe.Fptq };

    [Fact]
    public void Folding_leaves_the_float_products_unchanged()
    {
        float[] gain = [.. Samples.Gaussian(Channels, 0.2, 1).Select(value => 1 + value)];
        float[] normed = Samples.Correlated(50, Channels, 2); // rows of the norm before its gain
        float[] input = [.. normed.Select((value, i) => value * gain[i % Channels] * 20)];
        float[] scaled = [.. gain.Select(value => value * 20)];
        LinearSite site = new() { Name = "x", Channels = Channels, Weights = ["q", "k"], Norm = "norm", FloatReaders = ["router"] };
        LinearSite expert = new() { Name = "x.0", Channels = Channels, Weights = ["up.0"], Parent = "x", Expert = 0 };
        Equalization plan = Plan(Fptq with { DynamicThreshold = 1e6 }, [site, expert], Statistics(site, input), Statistics(expert, input));
        Assert.Equal(["x", "x.0"], plan.Sites);
        float[] divisors = plan.NormDivisors("norm")!;
        foreach (string reader in new[] { "q", "k", "router", "up.0" })
        {
            float[] factors = plan.ColumnFactors(reader)!;
            float[] weights = Samples.Gaussian(7 * Channels, 0.1, 3);
            for (int row = 0; row < 50; row++)
            {
                for (int n = 0; n < 7; n++)
                {
                    double plain = 0;
                    double folded = 0;
                    double size = 0;
                    for (int j = 0; j < Channels; j++)
                    {
                        float x = normed[(row * Channels) + j];
                        double term = (double)(x * scaled[j]) * weights[(n * Channels) + j];
                        plain += term;
                        size += Math.Abs(term);
                        folded += (double)(x * (scaled[j] / divisors[j])) * (weights[(n * Channels) + j] * factors[j]);
                    }

                    // Each term is rounded by one division, one product with the weight and one with the input: 2^-24 each, and once in the plain one.
                    Assert.Equal(plain, folded, 4 * Math.Pow(2, -24) * size);
                }
            }
        }
    }

    [Fact]
    public void Factors_follow_the_logarithm_of_the_largest_magnitude()
    {
        float[] factors = Equalization.Factors([0, 1e-12f, 0.5f, 6, 254]);
        Assert.Equal(1, factors[0]); // a channel that was always zero
        Assert.Equal(1e-5f, factors[1]);
        Assert.Equal(0.5 / Math.Log2(2.5), factors[2], 1e-6);
        Assert.Equal(2, factors[3], 1e-6);
        Assert.Equal(31.75, factors[4], 1e-5);
    }

    [Fact]
    public void The_statistics_are_those_of_the_divided_inputs()
    {
        LinearSite site = Site("x", "norm", "q");
        float[] input = [.. Samples.Correlated(100, Channels, 4).Select(value => 30 * value)];
        Equalization plan = Plan(Fptq with { DynamicThreshold = 1e6 }, [site], Statistics(site, input));
        float[] divisors = plan.NormDivisors("norm")!;
        float[] divided = [.. input.Select((value, i) => value / divisors[i % Channels])];
        SiteStatistics expected = Statistics(site, divided);
        Assert.True(plan.Statistics.TryGet("x", true, out SiteStatistics? got));
        Assert.Equal(expected.MaxAbs, got.MaxAbs, 1e-6 * expected.MaxAbs);
        Assert.Equal(Statistics(site, input).MaxAbs, got.UnequalizedMaxAbs);
        for (int i = 0; i < Channels * Channels; i++)
        {
            Assert.Equal(expected.Gram![i], got.Gram![i], 1e-5 * Math.Sqrt(expected.Gram[i / Channels * (Channels + 1)] * expected.Gram[i % Channels * (Channels + 1)]));
        }
    }

    [Theory]
    [InlineData(10, "static: 10 <= v0 = 15", true)]
    [InlineData(60, "static: v0 < 60 < v1, equalized to 5.954", true)]
    [InlineData(200, "dynamic: 200 >= v1 = 150", false)]
    public void The_rule_looks_at_the_largest_input(float largest, string branch, bool isStatic)
    {
        LinearSite site = Site("x", "norm", "q");
        float[] input = [.. Samples.Correlated(100, Channels, 5)];
        float most = input.Max(Math.Abs);
        input = [.. input.Select(value => value / most * 0.4f * largest)];
        input[7] = -largest;
        Equalization plan = Plan(Fptq, [site], Statistics(site, input));
        float[] weights = Samples.Gaussian(4 * Channels, 0.1, 6);
        MatrixReport report = new MatrixQuantizer(Fptq, plan.Statistics).Quantize("q", weights, 4, Channels, site).Report;
        Assert.Equal((branch, isStatic ? "static" : "dynamic"), (report.Branch, report.Activation));
        Assert.Equal(largest is > 15 and < 150, plan.NormDivisors("norm") is not null);
    }

    [Fact]
    public void Between_the_thresholds_without_a_norm_the_layer_is_dynamic()
    {
        LinearSite site = new() { Name = "x", Channels = Channels, Weights = ["down"] };
        float[] input = [.. Samples.Correlated(100, Channels, 5)];
        input[3] = 50;
        Equalization plan = Plan(Fptq, [site], Statistics(site, input));
        MatrixReport report = new MatrixQuantizer(Fptq, plan.Statistics).Quantize("down", Samples.Gaussian(4 * Channels, 0.1, 6), 4, Channels, site).Report;
        Assert.StartsWith("dynamic: 50 is between v0 and v1, but there is no norm", report.Branch, StringComparison.Ordinal);
    }

    [Fact]
    public void What_two_sites_share_is_left_alone()
    {
        LinearSite first = Site("x", "norm", "q");
        LinearSite second = Site("y", "other", "q");
        LinearSite third = Site("z", "third", "o");
        float[] input = [.. Samples.Correlated(100, Channels, 5).Select(value => 20 * value)];
        Equalization plan = Plan(Fptq with { DynamicThreshold = 1e6 }, [first, second, third], Statistics(first, input), Statistics(second, input), Statistics(third, input));
        Assert.Equal(["z"], plan.Sites);
        Assert.Null(plan.ColumnFactors("q"));
    }

    private static LinearSite Site(string name, string norm, string weight) => new() { Name = name, Channels = Channels, Weights = [weight], Norm = norm };

    private static Equalization Plan(QuantizationOptions options, LinearSite[] sites, params SiteStatistics[] statistics) =>
        Equalization.Plan(options.Resolve(), sites, new StatisticsTable(statistics, 1));

    private static SiteStatistics Statistics(LinearSite site, float[] input)
    {
        SiteAccumulator accumulator = new(site, gram: true);
        accumulator.Add(input);
        return accumulator.Complete();
    }
}
