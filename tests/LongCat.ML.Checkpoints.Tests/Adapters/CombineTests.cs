namespace LongCat.ML.Checkpoints.Tests.Adapters;

/// <summary>Sums of adapters: what must hold whatever the values, and small cases by hand.</summary>
public sealed class CombineTests
{
    private const string Module = "model.layers.0.self_attn.1.q_b_proj", Embedding = "model.embed_tokens";

    private static PeftAdapter Adapter(int seed, int rank = 3, params string[] modules) => RandomAdapter.Of(
        RandomAdapter.Flash, new PeftConfig { Rank = rank, Alpha = 4, UseRsLora = seed % 2 == 0, Targets = AdapterTargets.AllLinear }, modules.Length > 0 ? modules : [Module, Embedding], seed);

    /// <summary>scale · B · A [out, in] in double precision.</summary>
    private static double[] Change(PeftAdapter adapter, string module)
    {
        if (!adapter.Modules.TryGetValue(module, out AdapterMatrix? m))
        {
            return [];
        }

        return RandomAdapter.Expected(new float[m.In * m.Out], m with { Kind = AdapterKind.Linear });
    }

    private static double[] Weighted(string module, params (PeftAdapter Adapter, double Weight)[] adapters)
    {
        double[] sum = new double[adapters.Max(a => Change(a.Adapter, module).Length)];
        foreach ((PeftAdapter adapter, double weight) in adapters)
        {
            double[] change = Change(adapter, module);
            for (int i = 0; i < change.Length; i++)
            {
                sum[i] += weight * change[i];
            }
        }

        return sum;
    }

    private static double Worst(double[] a, double[] b) => a.Zip(b, (x, y) => Math.Abs(x - y)).Max();

    [Fact]
    public void Cat_and_svd_of_full_rank_are_the_weighted_sum_of_the_changes()
    {
        for (int seed = 1; seed <= 8; seed++)
        {
            (PeftAdapter, double)[] parts = [(Adapter(seed), 0.7), (Adapter(seed + 100, rank: 1 + (seed % 4)), -1.5), (Adapter(seed + 200, 2, Module), 2)];
            foreach (CombineOptions options in new[] { new CombineOptions(), new CombineOptions { Method = AdapterCombination.Svd, Rank = 9 } })
            {
                using PeftAdapter sum = PeftAdapter.Combine(parts, options);
                Assert.All([Module, Embedding], module => Assert.True(Worst(Weighted(module, parts), Change(sum, module)) <= 2e-5));
            }

            // And it is an adapter like any other.
            using CheckpointFolder folder = new();
            using PeftAdapter cat = PeftAdapter.Combine(parts);
            cat.Save(folder.File("a"));
            using PeftAdapter read = PeftAdapter.Load(folder.File("a"), RandomAdapter.Flash);
            Assert.Equal(cat.ContentHash, read.ContentHash);
            Assert.Equal(1, read.Modules[Module].Scale, 1e-12);
        }
    }

    [Fact]
    public void Svd_of_a_smaller_rank_is_nearer_than_any_other_matrices_of_that_rank()
    {
        (PeftAdapter, double)[] parts = [(Adapter(1, 4), 1), (Adapter(2, 4), 1)];
        double[] exact = Weighted(Module, parts);
        using PeftAdapter best = PeftAdapter.Combine(parts, new CombineOptions { Method = AdapterCombination.Svd, Rank = 3 });
        double error = Squares(exact, Change(best, Module));
        Assert.True(error > 0.01);
        Random random = new(4);
        AdapterMatrix m = best.Modules[Module];
        for (int trial = 0; trial < 50; trial++)
        {
            AdapterMatrix moved = m with { A = [.. m.A.Select(v => v + (0.02f * (random.NextSingle() - 0.5f)))], B = [.. m.B.Select(v => v + (0.02f * (random.NextSingle() - 0.5f)))] };
            Assert.True(Squares(exact, RandomAdapter.Expected(new float[m.In * m.Out], moved)) > error);
        }

        // Rows of Vᵀ are orthonormal, and the lengths of the columns of U · S fall: they are the singular values.
        for (int k = 0; k < 3; k++)
        {
            Assert.Equal(1, m.A.Skip(k * m.In).Take(m.In).Sum(v => (double)v * v), 1e-5);
        }

        double[] lengths = [.. Enumerable.Range(0, 3).Select(k => Enumerable.Range(0, m.Out).Sum(o => Math.Pow(m.B[(o * 3) + k], 2)))];
        Assert.True(lengths[0] >= lengths[1] && lengths[1] >= lengths[2]);
        static double Squares(double[] a, double[] b) => a.Zip(b, (x, y) => (x - y) * (x - y)).Sum();
    }

    [Fact]
    public void Methods_on_a_and_b_do_by_hand_what_their_papers_say()
    {
        // Rank 1, scale 1 and weight 1, so nothing is scaled. A: values 4, -1, 2, -3 against 1, 3, -5, -2 and 1, -2, 0, 4.
        PeftAdapter[] three = [Of(4, -1, 2, -3), Of(1, 3, -5, -2), Of(1, -2, 0, 4)];
        Assert.Equal([6, 0, -3, -1], A(AdapterCombination.Linear, null));
        Assert.Equal([4, 1, -5, 1], A(AdapterCombination.MagnitudePrune, 0.5));

        // Halves kept: (4, 0, 0, -3), (0, 3, -5, 0), (0, -2, 0, 4): of the sums 4, 1, -5, 1 the signs, and the averages of the values that have them.
        Assert.Equal([4, 3, -5, 4], A(AdapterCombination.Ties, 0.5));
        Assert.Equal([2, 3, -5, -2.5f], A(AdapterCombination.Ties, 1));

        // By the count of signs the second value is negative, two against one, and the third positive, for a draw is.
        Assert.Equal([2, -1.5f, 2, -2.5f], A(AdapterCombination.Ties, 1, MajoritySign.Frequency));
        Assert.Equal([6, 0, -3, -1], A(AdapterCombination.DareLinear, 1));

        float[] A(AdapterCombination method, double? density, MajoritySign sign = MajoritySign.Total) =>
            PeftAdapter.Combine([.. three.Select(a => (a, 1.0))], new CombineOptions { Method = method, Density = density, MajoritySign = sign }).Modules["m"].A;

        static PeftAdapter Of(params float[] a) =>
            PeftAdapter.Create(new PeftConfig { Rank = 1, Alpha = 1, Targets = AdapterTargets.Names("m") }, [new AdapterMatrix { Module = "m", Rank = 1, Scale = 1, In = 4, Out = 1, A = a, B = [1] }]);
    }

    [Fact]
    public void Linear_of_one_adapter_with_itself_is_a_multiple_and_negative_weights_turn_the_sign()
    {
        using PeftAdapter adapter = Adapter(3);
        foreach (double weight in new[] { 0.5, -2.0 })
        {
            using PeftAdapter result = PeftAdapter.Combine([(adapter, weight)], new CombineOptions { Method = AdapterCombination.Linear });
            Assert.True(Worst(Weighted(Module, (adapter, weight)), Change(result, Module)) <= 1e-5);
        }
    }

    [Fact]
    public void Dare_keeps_the_mean_and_follows_the_seed()
    {
        float[] ones = [.. Enumerable.Repeat(1f, 4096)];
        PeftAdapter adapter = PeftAdapter.Create(
            new PeftConfig { Rank = 1, Alpha = 1, Targets = AdapterTargets.Names("m") }, [new AdapterMatrix { Module = "m", Rank = 1, Scale = 1, In = 4096, Out = 1, A = ones, B = [1] }]);
        float[] first = A(1), again = A(1), other = A(2);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        Assert.All(first, v => Assert.True(v is 0 or 4));

        // 1024 of 4096 with a standard deviation of 28: five of them.
        Assert.InRange(first.Count(v => v != 0), 884, 1164);
        float[] A(ulong seed) => PeftAdapter.Combine([(adapter, 1)], new CombineOptions { Method = AdapterCombination.DareLinear, Density = 0.25, Seed = seed }).Modules["m"].A;
    }

    [Fact]
    public void What_cannot_be_combined_is_refused()
    {
        using PeftAdapter good = Adapter(1);
        AdapterMatrix matrix = good.Modules[Module];
        using PeftAdapter dora = RandomAdapter.Of(RandomAdapter.Flash, good.Config with { UseDora = true }, [Module]);
        using PeftAdapter annealing = PeftAdapter.Create(good.Config, [matrix], afa: new AfaState { Beta = 0.5 });
        using PeftAdapter pissa = PeftAdapter.Create(good.Config with { InitLoraWeights = "pissa" }, [matrix]);
        using PeftAdapter other = PeftAdapter.Create(good.Config, [matrix with { In = 4, A = new float[12] }]);
        using PeftAdapter head = PeftAdapter.Create(good.Config, [], [new AdapterTensor("lm_head.weight", [1], [1])]);
        using PeftAdapter thin = Adapter(1, 2);
        Assert.Contains("is DoRA", Refused(dora));
        Assert.Contains("is still annealing (β = 0.5)", Refused(annealing));
        Assert.Contains("was initialized by pissa", Refused(pissa));
        Assert.Contains("they were trained on different models", Refused(other));
        Assert.Contains("is replaced by 2 of the adapters", Assert.Throws<AdapterException>(() => PeftAdapter.Combine([(head, 1), (head, 1)])).Message);
        Assert.Contains("has ranks 3 and 2", Assert.Throws<AdapterException>(() => PeftAdapter.Combine([(good, 1), (thin, 1)], new CombineOptions { Method = AdapterCombination.Linear })).Message);
        Assert.Contains("expected a finite number", Usage(new CombineOptions(), double.NaN));
        Assert.Contains("Density is not set", Usage(new CombineOptions { Method = AdapterCombination.Ties }));
        Assert.Contains("Density is 0, expected above 0", Usage(new CombineOptions { Method = AdapterCombination.Ties, Density = 0 }));
        Assert.Contains("Density goes with methods that prune", Usage(new CombineOptions { Density = 0.5 }));
        Assert.Contains("Rank is 4, expected 1 or more, and Svd as method", Usage(new CombineOptions { Rank = 4 }));
        Assert.Throws<ArgumentException>(() => PeftAdapter.Combine([]));
        string Refused(PeftAdapter adapter) => Assert.Throws<AdapterException>(() => PeftAdapter.Combine([(good, 1), (adapter, 1)])).Message;
        string Usage(CombineOptions options, double weight = 1) => Assert.Throws<ArgumentException>(() => PeftAdapter.Combine([(good, weight)], options)).Message;
    }
}
