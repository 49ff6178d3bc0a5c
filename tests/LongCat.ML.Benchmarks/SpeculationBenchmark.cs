using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML.Benchmarks;

/// <summary>
/// Speculative decoding: tokens per second and acceptance, one sequence and four at once, with each proposer beside none, in turns. longcat-nano continues titles of its held-out documents; the
/// generated model has no language in it, so its draft is its own export in 4 bits, which shows what a draft costs and how often quantization changes a choice.
/// </summary>
internal static class SpeculationBenchmark
{
    private const string Part = "speculation";
    private const int NewTokens = 96;

    private static readonly (string Name, SpeculativeOptions? Options) s_none = ("none", null);
    private static readonly (string Name, SpeculativeOptions? Options) s_lookup = ("lookup, 4 tokens", new SpeculativeOptions());

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        using (BenchmarkModel nano = new("longcat-nano", models.Nano.CheckpointFolder, models.Scratch("nano-draft"), new ExportOptions()))
        {
            (string, SpeculativeOptions?)[] ways =
            [
                s_lookup,
                ("lookup, adaptive from 2", new SpeculativeOptions { MinAdaptiveK = 2, Cooldown = true }),
                ("MTP head, 1 token", new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp, MaxDraftTokens = 1 }),
                ("MTP head, 3 tokens", new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp, MaxDraftTokens = 3 }),
                ("MTP head, adaptive from 1", new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp, MinAdaptiveK = 1 }),
                s_none,
            ];
            string[] titles = [.. File.ReadLines(Path.Combine(models.Nano.CheckpointFolder, "held-out.txt")).Select(Title).OfType<string>().Where((_, i) => i % 37 == 0)];
            HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(Path.Combine(nano.Folder, "tokenizer.json"));
            int next = 0;
            foreach (Figure figure in Compare(nano, ways, () => [.. tokenizer.Encode(titles[next++ % titles.Length])], options))
            {
                yield return figure;
            }
        }

        BenchmarkShape shape = models.Shapes[0];
        Console.Error.WriteLine($"{Part}: exporting {shape.Name}");
        using BenchmarkModel model = models.Export(shape, "bf16", new ExportOptions());
        using BenchmarkModel draft = models.Export(
            shape, "w4a8", new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } });
        Prompts prompts = new(model.Config.VocabSize);
        foreach (Figure figure in Compare(
            model,
            [s_lookup, ("its W4A8 export, 3 tokens", new SpeculativeOptions { Proposer = SpeculativeProposer.DraftModel, DraftFolder = draft.Folder, MaxDraftTokens = 3 }), s_none],
            () => prompts.Request(24, 1).PromptIds!,
            options))
        {
            yield return figure;
        }
    }

    /// <summary>The first line of a held-out document, from its id: "P:System.String.Length hash" begins with "String.Length property".</summary>
    private static string? Title(string line)
    {
        string[] names = line.Split(' ')[0].Split('(')[0].Split('.');
        string? kind = line[0] switch { 'M' => "method", 'P' => "property", 'E' => "event", _ => null };
        return kind is null || names.Length < 3 ? null : $"{names[^2]}.{names[^1]} {kind}\n";
    }

    private static IEnumerable<Figure> Compare(BenchmarkModel model, (string Name, SpeculativeOptions? Options)[] ways, Func<IReadOnlyList<int>> prompt, BenchmarkOptions options)
    {
        InferenceEngine[] engines = [.. ways.Select(way => InferenceEngine.Load(model.Folder, new EngineOptions { MaxSequences = 4, MemoryBudgetBytes = 256L << 20, Speculation = way.Options }))];
        try
        {
            foreach (int sequences in new[] { 1, 4 })
            {
                Console.Error.WriteLine($"{Part}: {model.Name}, {sequences} at once");
                SpeculativeStatistics?[] before = [.. engines.Select(engine => engine.Statistics.Speculation)];

                // A turn has one set of prompts, which every engine continues.
                GenerationRequest[] requests = [];
                (Series[] series, double[] ratios) = Series.InTurns(options.Repetitions, ways.Length, i =>
                {
                    requests = i > 0 ? requests : [.. Enumerable.Range(0, 4).Select(_ => new GenerationRequest
                    {
                        PromptIds = prompt(),
                        Options = new GenerationOptions { MaxNewTokens = options.Quick ? 24 : NewTokens, IgnoreEos = true },
                    })];
                    return sequences == 1 ? requests.Average(request => EngineRates.Decode(engines[i], request)) : EngineRates.DecodeTogether(engines[i], () => requests);
                });
                for (int i = 0; i < ways.Length; i++)
                {
                    (string, double)[] more = [("times none", ratios[i])];
                    if (engines[i].Statistics.Speculation is { } after)
                    {
                        // Between two snapshots: the first pass is not this one's.
                        double rounds = after.Rounds - before[i]!.Rounds, evaluated = after.DraftTokensEvaluated - before[i]!.DraftTokensEvaluated;
                        more =
                        [
                            .. more,
                            ("acceptance", (after.DraftTokensAccepted - before[i]!.DraftTokensAccepted) / Math.Max(1, evaluated)),
                            ("tokens/round", (after.TokensEmitted - before[i]!.TokensEmitted) / Math.Max(1, rounds)),
                            ("plain steps/round", (after.StandardFallbackSteps - before[i]!.StandardFallbackSteps) / Math.Max(1, rounds)),
                        ];
                    }

                    yield return series[i].ToFigure(Part, $"{model.Name}: decode, {sequences} at once, {ways[i].Name}", "tokens/s", Environment.ProcessorCount, more);
                }
            }
        }
        finally
        {
            Array.ForEach(engines, engine => engine.Dispose());
        }
    }
}
