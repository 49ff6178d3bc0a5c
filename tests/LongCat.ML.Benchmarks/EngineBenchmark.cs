using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks;

/// <summary>
/// Tokens per second of the engine on generated models: prompts read, and tokens generated for one and for eight sequences. The same checkpoint is run with our
/// operators and with the standard ones, in turns.
/// </summary>
internal static class EngineBenchmark
{
    private const int NewTokens = 24;
    private const int DecodePrompt = 16;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        ReadBandwidth bandwidth = new(options.Quick);
        foreach (BenchmarkShape shape in models.Shapes)
        {
            Console.Error.WriteLine($"engine: exporting {shape.Name}");
            using BenchmarkModel ours = models.Export(shape, "bf16", new ExportOptions());
            using BenchmarkModel? wide = shape == models.Shapes[1] ? models.Export(shape, "f32", new ExportOptions { Precision = WeightPrecision.F32 }) : null;
            using BenchmarkModel standard = models.Export(shape, "standard", new ExportOptions { Operators = OperatorSet.Standard });
            BenchmarkModel[] variants = wide is null ? [ours, standard] : [ours, wide, standard];
            foreach (int threads in new[] { 1, 2, Environment.ProcessorCount }.Where(count => count <= Environment.ProcessorCount).Distinct())
            {
                foreach (Figure figure in Prefill(variants, threads, options).Concat(Decode(variants, threads, options, bandwidth)))
                {
                    yield return figure;
                }
            }
        }
    }

    private static IEnumerable<Figure> Prefill(BenchmarkModel[] variants, int threads, BenchmarkOptions options)
    {
        int longest = options.Quick ? 512 : 4096;
        InferenceEngine[] engines = Open(variants, threads, sequences: 1, length: longest + 1);
        try
        {
            Prompts prompts = new(variants[0].Config.VocabSize);
            foreach (int length in new[] { 128, 512, 4096 }.Where(length => length <= longest))
            {
                Console.Error.WriteLine($"engine: {variants[0].Name}, prefill {length}, threads {threads}");
                // Up to minutes each, warm from the shorter prompts; the longest are left to ours as it is exported by default and the standard operators.
                bool slow = length > 128;
                int[] chosen = length > 1024 ? [0, variants.Length - 1] : [.. Enumerable.Range(0, variants.Length)];
                (Series[] series, double[] ratios) = Series.InTurns(
                    options.RepetitionsOf(slow), chosen.Length, i => EngineRates.Prompt(engines[chosen[i]], prompts.Request(length, newTokens: 1)), warmUp: !slow);
                for (int i = 0; i < chosen.Length; i++)
                {
                    yield return series[i].ToFigure("engine", $"{variants[chosen[i]].Name}: prefill, {length} tokens", "tokens/s", threads, ("times standard", ratios[i]));
                }
            }
        }
        finally
        {
            Close(engines);
        }
    }

    private static IEnumerable<Figure> Decode(BenchmarkModel[] variants, int threads, BenchmarkOptions options, ReadBandwidth bandwidth)
    {
        InferenceEngine[] engines = Open(variants, threads, sequences: 8, length: DecodePrompt + NewTokens);
        try
        {
            Prompts prompts = new(variants[0].Config.VocabSize);
            foreach (int sequences in new[] { 1, 8 })
            {
                Console.Error.WriteLine($"engine: {variants[0].Name}, decode {sequences}, threads {threads}");
                double machine = 0;
                (Series[] series, double[] ratios) = Series.InTurns(options.Repetitions, variants.Length, i =>
                {
                    machine = Math.Max(machine, bandwidth.Measure(threads));
                    return EngineRates.DecodeTogether(engines[i], () => [.. Enumerable.Range(0, sequences).Select(_ => prompts.Request(DecodePrompt, NewTokens))]);
                });
                for (int i = 0; i < variants.Length; i++)
                {
                    double bytes = variants[i].StepBytes(sequences), read = bytes * series[i].Best / sequences;
                    yield return series[i].ToFigure(
                        "engine", $"{variants[i].Name}: decode, {sequences} at once", "tokens/s", threads, ("times standard", ratios[i]), ("MB/step", bytes / 1e6),
                        ("GB/s", read / 1e9), ("machine GB/s", machine / 1e9), ("share", read / machine));
                }
            }
        }
        finally
        {
            Close(engines);
        }
    }

    private static InferenceEngine[] Open(BenchmarkModel[] variants, int threads, int sequences, int length) =>
        [.. variants.Select(model => InferenceEngine.Load(model.Folder, new EngineOptions
        {
            Threads = threads,
            MaxSequences = sequences,

            // A page more for each sequence than it needs, since the last one may be partly filled.
            MemoryBudgetBytes = model.TokenCacheBytes * sequences * (length + 32),
        }))];

    private static void Close(InferenceEngine[] engines)
    {
        foreach (InferenceEngine engine in engines)
        {
            engine.Dispose();
        }
    }
}
