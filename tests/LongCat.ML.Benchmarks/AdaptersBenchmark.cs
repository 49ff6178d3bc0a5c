using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Benchmarks;

/// <summary>
/// What adapters cost while decoding: eight sequences at once on an engine without adapters, and on one with eight adapters of rank 16 on every projection (8 on o_proj), whose
/// sequences have none, all the same one, or each its own. The floor is the time of the model alone and the reading of the adapters at the machine's bandwidth.
/// </summary>
internal static class AdaptersBenchmark
{
    private const int Sequences = 8, NewTokens = 24, Prompt = 16, Rank = 16;
    private static readonly string[] s_targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

    private static readonly (string Name, Func<int, string?> Adapter, int Read)[] s_ways =
    [
        ("adapters loaded, none used", _ => null, 0),
        ("one adapter for all", _ => "adapter 0", 1),
        ("eight adapters", row => $"adapter {row}", Sequences),
    ];

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        // The Llama and the Qwen shape; their projections are named alike.
        foreach (BenchmarkShape shape in models.Shapes.Take(2))
        {
            string checkpoint = BenchmarkModels.Checkpoint(shape);
            Dictionary<string, string> adapters = [];
            for (int i = 0; i < Sequences; i++)
            {
                string folder = models.Scratch($"{shape.Name}-adapter-{i}".Replace(' ', '-'));
                adapters.Add($"adapter {i}", RandomAdapter.Write(folder, checkpoint, s_targets, seed: i, rank: Rank).Folder);
            }

            foreach ((string variant, ExportOptions export) in new[]
            {
                ("bf16", new ExportOptions()),
                ("w4a8", new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } }),
            })
            {
                Console.Error.WriteLine($"adapters: exporting {shape.Name} {variant}");
                using BenchmarkModel model = models.Export(shape, variant, export);
                foreach (int threads in Environment.ProcessorCount > 1 ? new[] { 1, 2 } : [1])
                {
                    foreach (Figure figure in Decode(model, adapters, threads, options))
                    {
                        yield return figure;
                    }
                }
            }
        }
    }

    private static IEnumerable<Figure> Decode(BenchmarkModel model, Dictionary<string, string> adapters, int threads, BenchmarkOptions options)
    {
        EngineOptions settings = new()
        {
            Threads = threads,
            MaxSequences = Sequences,
            MemoryBudgetBytes = model.TokenCacheBytes * Sequences * (Prompt + NewTokens + 32),
        };
        using InferenceEngine alone = InferenceEngine.Load(model.Folder, settings), adapted = InferenceEngine.Load(model.Folder, settings with { Adapters = adapters });
        Prompts prompts = new(model.Config.VocabSize);
        ReadBandwidth bandwidth = new(options.Quick);
        double machine = 0;
        double[] cpu = new double[s_ways.Length + 1];
        Console.Error.WriteLine($"adapters: {model.Name}, threads {threads}");
        (Series[] series, double[] ratios) = Series.InTurns(options.Repetitions, s_ways.Length + 1, i =>
        {
            machine = Math.Max(machine, bandwidth.Measure(threads));
            TimeSpan begin = Environment.CpuUsage.TotalTime;
            int tries = 0;
            double rate = EngineRates.DecodeTogether(i < s_ways.Length ? adapted : alone, () =>
            {
                tries++;
                return [.. Enumerable.Range(0, Sequences).Select(row => prompts.Request(Prompt, NewTokens) with { Adapter = i < s_ways.Length ? s_ways[i].Adapter(row) : null })];
            });
            cpu[i] += (Environment.CpuUsage.TotalTime - begin) / tries / (options.Repetitions + 1) / TimeSpan.FromMilliseconds(1) / (Sequences * (Prompt + NewTokens));
            return rate;
        });
        double step = Sequences / series[^1].Best, each = adapted.Statistics.AdapterBytes / (double)adapters.Count;
        yield return series[^1].ToFigure("adapters", $"{model.Name}: decode, {Sequences} at once, no adapters", "tokens/s", threads, ("CPU ms/token", cpu[^1]), ("machine GB/s", machine / 1e9));
        for (int i = 0; i < s_ways.Length; i++)
        {
            double bytes = s_ways[i].Read * each;
            yield return series[i].ToFigure(
                "adapters", $"{model.Name}: decode, {Sequences} at once, {s_ways[i].Name}", "tokens/s", threads, ("times without", ratios[i]),
                ("times floor", (step + (bytes / machine)) / step * ratios[i]), ("CPU ms/token", cpu[i]), ("times CPU", cpu[i] / cpu[^1]), ("MB of adapters", bytes / 1e6));
        }
    }
}
