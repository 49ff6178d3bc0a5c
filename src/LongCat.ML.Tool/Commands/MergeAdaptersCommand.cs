using System.CommandLine;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat merge-adapters</c>: several adapters become one.</summary>
internal static class MergeAdaptersCommand
{
    private static readonly Dictionary<string, AdapterCombination> Methods = new(StringComparer.Ordinal)
    {
        ["cat"] = AdapterCombination.Cat,
        ["svd"] = AdapterCombination.Svd,
        ["linear"] = AdapterCombination.Linear,
        ["ties"] = AdapterCombination.Ties,
        ["dare-linear"] = AdapterCombination.DareLinear,
        ["dare-ties"] = AdapterCombination.DareTies,
        ["magnitude-prune"] = AdapterCombination.MagnitudePrune,
    };

    public static Command Create()
    {
        Option<string[]> adapters = new("--adapter") { Description = "An adapter's folder; give it once for each adapter.", Required = true };
        Option<string?> weights = new("--weights") { Description = "What each adapter counts, with commas between, in the order of --adapter; 1 each when left out. Negative ones take an adapter away." };
        Option<string> method = new("--method")
        {
            Description = "cat (exact, ranks add up), svd (nearest of --rank), linear, ties, dare-linear, dare-ties or magnitude-prune (A and B by themselves).",
            DefaultValueFactory = _ => "cat",
        };
        method.AcceptOnlyFromAmong([.. Methods.Keys]);
        Option<double?> density = new("--density") { Description = "The share of values that ties, dare-* and magnitude-prune keep, above 0 up to 1." };
        Option<int?> rank = new("--rank") { Description = "The rank of svd; the largest among the adapters when left out." };
        Option<string> majority = new("--majority") { Description = "How ties and dare-ties elect a sign: total or frequency.", DefaultValueFactory = _ => "total" };
        majority.AcceptOnlyFromAmong("total", "frequency");
        Option<ulong> seed = new("--seed") { Description = "Draws what dare-* drops." };
        Option<string> output = new("--output", "-o") { Description = "The adapter's folder to write; an adapter that is there is replaced.", Required = true };
        Command command = new("merge-adapters", "Combine LoRA adapters of one base model into one adapter.") { adapters, weights, method, density, rank, majority, seed, output };
        command.SetAction(result =>
        {
            string[] folders = result.GetRequiredValue(adapters);
            double[] factors = Weights(result.GetValue(weights), folders.Length);
            CombineOptions options = new()
            {
                Method = Methods[result.GetRequiredValue(method)],
                Density = result.GetValue(density),
                Rank = result.GetValue(rank),
                MajoritySign = result.GetValue(majority) == "frequency" ? MajoritySign.Frequency : MajoritySign.Total,
                Seed = result.GetValue(seed),
            };
            List<PeftAdapter> loaded = [];
            try
            {
                loaded.AddRange(folders.Select(folder => PeftAdapter.Load(AdapterArgument.Folder(folder))));
                using PeftAdapter combined = Combine([.. loaded.Zip(factors)], options);
                combined.Save(result.GetRequiredValue(output));
                result.InvocationConfiguration.Output.WriteLine(
                    $"{Path.GetFullPath(result.GetRequiredValue(output))}: {combined.Modules.Count} modules of rank {combined.Config.Rank}, {combined.ParameterCount:N0} parameters");
                return CommandHost.Success;
            }
            finally
            {
                loaded.ForEach(adapter => adapter.Dispose());
            }
        });
        return command;
    }

    private static PeftAdapter Combine((PeftAdapter, double)[] adapters, CombineOptions options)
    {
        try
        {
            return PeftAdapter.Combine(adapters, options);
        }
        catch (ArgumentException problem)
        {
            throw new UsageException(problem.Message);
        }
    }

    private static double[] Weights(string? text, int count)
    {
        if (text is null)
        {
            return [.. Enumerable.Repeat(1.0, count)];
        }

        double[] weights = [.. text.Split(',').Select(part => double.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out double weight) && double.IsFinite(weight)
            ? weight
            : throw new UsageException($"--weights has \"{part}\", expected numbers with commas between"))];
        return weights.Length == count ? weights : throw new UsageException($"--weights has {weights.Length} numbers, expected {count}, one for each --adapter");
    }
}
