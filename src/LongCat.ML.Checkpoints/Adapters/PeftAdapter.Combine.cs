namespace LongCat.ML.Checkpoints;

public sealed partial class PeftAdapter
{
    /// <summary>Combines adapters of one base model into one adapter: weighted sums of what they change, exactly or at a smaller rank.</summary>
    /// <param name="adapters">The adapters with their weights, which may be negative; a module that an adapter lacks counts as unchanged by it. At least one.</param>
    /// <param name="options">How; null combines exactly (<see cref="AdapterCombination.Cat"/>).</param>
    /// <returns>A plain LoRA adapter of scale 1, valid as long as the adapters whose saved modules it took over.</returns>
    /// <exception cref="AdapterException">
    /// An adapter is DoRA, has biases of B, is still annealing or goes with a changed base; two adapters replace the same tensor or have one module in different sizes; or the
    /// method combines A and B by themselves and the ranks differ.
    /// </exception>
    /// <exception cref="ArgumentException">There is no adapter, a weight is not finite, or an option is out of range or does not go with the method.</exception>
    public static PeftAdapter Combine(IReadOnlyList<(PeftAdapter Adapter, double Weight)> adapters, CombineOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(adapters);
        options ??= new CombineOptions();
        options.Check();
        if (adapters.Count == 0)
        {
            throw new ArgumentException("no adapter to combine, expected at least one", nameof(adapters));
        }

        List<AdapterTensor> saved = [];
        foreach ((PeftAdapter adapter, double weight) in adapters)
        {
            ArgumentNullException.ThrowIfNull(adapter, nameof(adapters));
            if (!double.IsFinite(weight))
            {
                throw new ArgumentException($"the weight of {adapter.Name} is {weight}, expected a finite number", nameof(adapters));
            }

            RefuseToCombine(adapter);
            saved.AddRange(adapter.SavedModules.Values);
        }

        if (saved.GroupBy(t => t.Name).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new AdapterException(adapters[0].Adapter.Name, twice.Key, $"is replaced by {twice.Count()} of the adapters, and whole tensors cannot be combined; leave all but one of them out");
        }

        List<AdapterMatrix> matrices = [];
        foreach (string module in adapters.SelectMany(a => a.Adapter.Modules.Keys).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
        {
            matrices.Add(CombineModule(module, [.. adapters.Where(a => a.Adapter.Modules.ContainsKey(module))], options, (ulong)matrices.Count));
        }

        PeftConfig first = adapters[0].Adapter.Config;
        int rank = matrices.Count == 0 ? first.Rank : matrices.Max(m => m.Rank);
        PeftConfig config = new()
        {
            TaskType = first.TaskType,
            BaseModelNameOrPath = first.BaseModelNameOrPath,
            Revision = first.Revision,
            Rank = rank,
            Alpha = rank,
            ModulesToSave = adapters.SelectMany(a => a.Adapter.Config.ModulesToSave ?? []).Distinct(StringComparer.Ordinal).ToArray() is { Length: > 0 } names ? names : null,
        };
        return Create(matrices.Count == 0 ? config : FusedExperts.Apart(config, matrices), matrices, saved, name: string.Join(" + ", adapters.Select(a => a.Adapter.Name)), trainedOn: CommonBase(adapters));
    }

    /// <summary>Quantized weights under one of the adapters are under their sum.</summary>
    private static WeightPrecision? CommonBase(IReadOnlyList<(PeftAdapter Adapter, double Weight)> adapters)
    {
        WeightPrecision?[] bases = [.. adapters.Select(a => a.Adapter.TrainedOn).Distinct()];
        return bases.FirstOrDefault(b => b is WeightPrecision.W4A8 or WeightPrecision.Int4) ?? (bases.Length == 1 ? bases[0] : null);
    }

    private static void RefuseToCombine(PeftAdapter adapter)
    {
        string? problem =
            adapter.Config.UseDora ? "is DoRA, whose change is no sum that could be weighted; merge it into the base instead"
            : adapter.Config.LoraBias ? "has biases of B (lora_bias), which cannot be combined"
            : adapter.Beta != 0 ? FormattableString.Invariant($"is still annealing (β = {adapter.Beta:R}); train it to the end of its annealing")
            : adapter.Config.ChangesBase ? $"was initialized by {adapter.Config.InitLoraWeights} and not converted, so it goes with another base than the others"
            : null;
        if (problem is not null)
        {
            throw new AdapterException(adapter.Name, problem);
        }
    }

    private static AdapterMatrix CombineModule(string module, (PeftAdapter Adapter, double Weight)[] adapters, CombineOptions options, ulong number)
    {
        AdapterMatrix[] all = [.. adapters.Select(a => a.Adapter.Modules[module])];
        AdapterMatrix first = all[0];
        for (int i = 1; i < all.Length; i++)
        {
            if (all[i].In != first.In || all[i].Out != first.Out || all[i].Kind != first.Kind)
            {
                throw new AdapterException(adapters[i].Adapter.Name, module, $"changes a {all[i].Kind} [{all[i].Out}, {all[i].In}], and {adapters[0].Adapter.Name} a {first.Kind} [{first.Out}, {first.In}]: they were trained on different models");
            }
        }

        double[] weights = [.. all.Select((m, i) => adapters[i].Weight * m.Scale)];
        if (options.Method is AdapterCombination.Cat or AdapterCombination.Svd)
        {
            int inner = all.Sum(m => m.Rank);
            double[] a = [.. all.SelectMany((m, i) => m.A.Select(value => weights[i] * value))];
            double[] b = new double[first.Out * inner];
            for (int o = 0, offset = 0; o < first.Out; o++, offset = 0)
            {
                foreach (AdapterMatrix m in all)
                {
                    for (int k = 0; k < m.Rank; k++)
                    {
                        b[(o * inner) + offset++] = m.B[(o * m.Rank) + k];
                    }
                }
            }

            if (options.Method == AdapterCombination.Cat)
            {
                return Plain(first, inner, [.. a.Select(v => (float)v)], [.. b.Select(v => (float)v)]);
            }

            int rank = options.Rank ?? adapters.Max(x => x.Adapter.Modules.Values.Max(m => m.Rank));
            (float[] left, float[] right) = LowRankSvd.Truncate(b, a, first.Out, inner, first.In, rank);
            return Plain(first, rank, right, left);
        }

        if (all.FirstOrDefault(m => m.Rank != first.Rank) is { } other)
        {
            throw new AdapterException(adapters[0].Adapter.Name, module, $"has ranks {first.Rank} and {other.Rank}; {options.Method} combines A and B value by value, so the ranks must be the same. Cat and Svd take different ones");
        }

        // The root of each weight on both sides, its sign on one, so that the products carry the weight.
        double[] forB = [.. weights.Select(w => Math.Sqrt(Math.Abs(w)))];
        double[] forA = [.. weights.Select((w, i) => w >= 0 ? forB[i] : -forB[i])];
        ulong seed = options.Seed + (number << 1 << 20);
        return Plain(
            first,
            first.Rank,
            AdapterArithmetic.Combine([.. all.Select(m => m.A)], forA, options, seed),
            AdapterArithmetic.Combine([.. all.Select(m => m.B)], forB, options, seed + (1UL << 20)));
    }

    private static AdapterMatrix Plain(AdapterMatrix like, int rank, float[] a, float[] b) => like with { Rank = rank, Scale = 1, A = a, B = b, Type = TensorType.Float32 };
}
