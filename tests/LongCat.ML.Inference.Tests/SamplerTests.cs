using LongCat.ML.Inference.Sampling;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests;

public sealed class SamplerTests(ITestOutputHelper output)
{
    private const int Draws = 40_000;

    [Fact]
    public void Greedy_takes_the_lowest_of_equal_tokens_and_refuses_damaged_logits()
    {
        Sampler sampler = new();
        Assert.Equal(1, sampler.Sample([0, 3, 3, 1], new GenerationOptions(), 0, 1));
        Assert.Throws<InferenceException>(() => sampler.Sample([0, float.NaN, 3], new GenerationOptions(), 0, 1));
        Assert.Throws<InferenceException>(() => sampler.Sample([0, float.PositiveInfinity], new GenerationOptions { Temperature = 1 }, 0, 1));
    }

    [Theory]
    [InlineData(1.0f, 0, 1.0f)]
    [InlineData(0.5f, 0, 1.0f)]
    [InlineData(2.0f, 3, 1.0f)]
    [InlineData(1.0f, 0, 0.7f)]
    [InlineData(1.3f, 4, 0.8f)]
    public void Draws_follow_the_distribution(float temperature, int topK, float topP)
    {
        float[] logits = [1.0f, -2.0f, 0.5f, 2.0f, 2.0f, -1.0f, 0.0f, 1.5f];
        double[] expected = Distribution(logits, temperature, topK, topP);
        GenerationOptions options = new() { Temperature = temperature, TopK = topK, TopP = topP };
        Sampler sampler = new();
        int[] counts = new int[logits.Length];
        for (int position = 0; position < Draws; position++)
        {
            counts[sampler.Sample(logits, options, seed: 7, position)]++;
        }

        double worst = 0;
        for (int id = 0; id < logits.Length; id++)
        {
            Assert.True(expected[id] > 0 || counts[id] == 0, $"token {id} is outside top-k and top-p and was drawn {counts[id]} times");
            worst = Math.Max(worst, Math.Abs((counts[id] / (double)Draws) - expected[id]));
        }

        // Five standard deviations of a frequency over 40,000 draws: 5 * sqrt(0.25 / 40000).
        output.WriteLine($"largest difference {worst:E2}, limit {5 * Math.Sqrt(0.25 / Draws):E2}");
        Assert.True(worst < 5 * Math.Sqrt(0.25 / Draws));
    }

    [Fact]
    public void A_large_nucleus_equals_the_one_of_a_full_sort()
    {
        Random random = new(3);
        float[] logits = [.. Enumerable.Range(0, 2000).Select(_ => MathF.Round((float)random.NextDouble() * 20, 1))];
        foreach (float topP in new[] { 0.1f, 0.9f, 0.999f, 0.999999f })
        {
            double[] expected = Distribution(logits, 1.5f, 0, topP);
            GenerationOptions options = new() { Temperature = 1.5f, TopP = topP };
            Sampler sampler = new();
            HashSet<int> drawn = [];
            for (int position = 0; position < 2000; position++)
            {
                drawn.Add(sampler.Sample(logits, options, 11, position));
            }

            Assert.All(drawn, id => Assert.True(expected[id] > 0));
            int size = expected.Count(share => share > 0);
            output.WriteLine($"top-p {topP}: {drawn.Count} of {size} tokens drawn");
            Assert.True(size > 200 || drawn.Count > 0.9 * size);
        }
    }

    [Fact]
    public void Random_numbers_depend_on_seed_and_position_only_and_are_uniform()
    {
        double[] numbers = [.. from seed in Enumerable.Range(0, 200) from position in Enumerable.Range(0, 200) select CounterRandom.Uniform((ulong)seed, position)];
        Assert.Equal(numbers.Length, numbers.Distinct().Count());
        Assert.All(numbers, number => Assert.InRange(number, 0, 0.9999999999999999));
        for (int bin = 0; bin < 16; bin++)
        {
            double share = numbers.Count(number => (int)(number * 16) == bin) / (double)numbers.Length;
            Assert.InRange(share, (1 / 16.0) - 0.007, (1 / 16.0) + 0.007);
        }

        Assert.Equal(CounterRandom.Uniform(ulong.MaxValue, 5), CounterRandom.Uniform(ulong.MaxValue, 5));
    }

    [Fact]
    public void Log_probabilities_equal_the_plain_formula_and_sum_to_one()
    {
        Random random = new(5);
        float[] logits = [.. Enumerable.Range(0, 3001).Select(_ => (float)((random.NextDouble() - 0.5) * 60))];
        double max = logits.Max();
        double expected = max + Math.Log(logits.Sum(logit => Math.Exp(logit - max)));
        double actual = LogSoftmax.LogSumExp(logits);

        // Sums of 3001 positive doubles differ by the order of additions only: far below 1e-12.
        output.WriteLine($"difference {Math.Abs(actual - expected):E2}");
        Assert.Equal(expected, actual, 1e-12);
        TokenAlternative[] top = LogSoftmax.Top(logits, actual, 5);
        int[] order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id).Take(5)];
        Assert.Equal(order, top.Select(alternative => alternative.Id));
        Assert.Equal(1, LogSoftmax.Top(logits, actual, int.MaxValue).Sum(alternative => Math.Exp(alternative.LogProbability)), 1e-9);
    }

    [Fact]
    public void Top_ids_break_ties_by_the_lowest_id() =>
        Assert.Equal([2, 4, 0], LogSoftmax.TopIds([1, 0, 5, 1, 5, 1], 3));

    /// <summary>Top-k, then top-p, by definition: sort everything, keep the shortest beginning that reaches the share.</summary>
    private static double[] Distribution(float[] logits, double temperature, int topK, double topP)
    {
        int[] order = [.. Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id)];
        order = topK > 0 ? order[..Math.Min(topK, order.Length)] : order;
        double max = logits.Max();
        double[] weights = [.. order.Select(id => Math.Exp((logits[id] - max) / temperature))];
        double total = weights.Sum();
        int kept = 0;
        double mass = 0;
        while (kept < order.Length && (kept == 0 || mass < (float)topP * total))
        {
            mass += weights[kept++];
        }

        double[] result = new double[logits.Length];
        for (int i = 0; i < kept; i++)
        {
            result[order[i]] = weights[i] / mass;
        }

        return result;
    }
}
