using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML.Benchmarks.Speculation;

/// <summary>
/// Speculative decoding: tokens per second and acceptance, one sequence and four at once, greedy and drawn, with each proposer beside none, in turns. longcat-nano with lookup, with its draft head
/// before and after <c>longcat-train draft</c> on its own texts, and with its own export in 4 bits as a draft model; a generated model of 0.6 billion parameters in W4A8 with lookup, and in
/// bfloat16 with its W4A8 export as draft model.
/// </summary>
internal static class SpeculationBenchmark
{
    private const string Part = "speculation";
    private static readonly Way s_none = new("none", null);
    private static readonly Way s_lookup = new("lookup, 4 tokens", new SpeculativeOptions());
    private static readonly Way s_chained = new("lookup, 4 tokens, chained", new SpeculativeOptions { NGramChainedLookup = true });
    private static readonly Way s_adaptive = new("lookup, adaptive from 2", new SpeculativeOptions { MinAdaptiveK = 2, Cooldown = true });

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options) => Nano(models, options).Concat(Generated(models, options));

    private static IEnumerable<Figure> Nano(BenchmarkModels models, BenchmarkOptions options)
    {
        string checkpoint = models.Nano.CheckpointFolder;
        using BenchmarkModel nano = new("longcat-nano", checkpoint, models.Scratch("nano-draft"), new ExportOptions());
        Console.Error.WriteLine($"{Part}: training the draft head of longcat-nano on its own texts");
        DraftTraining training = DraftTraining.Run(checkpoint, nano.Folder, models.Scratch("nano-trained"), options.Quick);
        Console.Error.WriteLine($"{Part}: {training}");
        using BenchmarkModel trained = new("longcat-nano with a trained head", training.Folder, models.Scratch("nano-trained-draft"), new ExportOptions());
        using BenchmarkModel small = new("longcat-nano w4a8", checkpoint, models.Scratch("nano-w4a8"), W4A8());
        Way[] ways =
        [
            s_lookup,
            s_adaptive,
            Head("MTP head", 1, nano),
            Head("MTP head", 3, nano),
            Head("MTP head after training", 1, trained),
            Head("MTP head after training", 3, trained),
            Draft("its W4A8 export, 3 tokens", small),
            s_none,
        ];
        int newTokens = options.Quick ? 24 : 96;
        foreach (Figure figure in Compare(nano, ways, SpeculationTexts.OfDocumentation(checkpoint).SelectMany(texts => new[] { 0, 0.8f }.Select(temperature => (texts, temperature))), newTokens, options.Repetitions))
        {
            yield return figure;
        }

        static Way Head(string name, int tokens, BenchmarkModel model) =>
            new($"{name}, {(tokens == 1 ? "1 token" : $"{tokens} tokens")}", new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp, MaxDraftTokens = tokens }, model.Folder);
    }

    private static IEnumerable<Figure> Generated(BenchmarkModels models, BenchmarkOptions options)
    {
        // The Qwen3 shape: half of a step's weights are the head's, which a verifying step reads once for all its rows.
        BenchmarkShape shape = models.Shapes[1];
        int newTokens = options.Quick ? 16 : 32, repetitions = options.Quick ? 1 : 3;
        Console.Error.WriteLine($"{Part}: exporting {shape.Name}");
        using BenchmarkModel packed = models.Export(shape, "w4a8", W4A8());
        foreach (Figure figure in Compare(packed, [s_lookup, s_chained, s_adaptive, s_none], SpeculationTexts.OfLetters(packed.Config.VocabSize, newTokens), newTokens, repetitions))
        {
            yield return figure;
        }

        using BenchmarkModel wide = models.Export(shape, "bf16", new ExportOptions());
        Prompts prompts = new(wide.Config.VocabSize);

        // Its greedy text repeats a token, which the draft sees too: this is what a draft of its cost gains at the most.
        SpeculationTexts free = new("a token over and over", [.. Enumerable.Range(0, SpeculationTexts.Count).Select(_ => prompts.Request(24, 1).PromptIds!)], null);
        foreach (Figure figure in Compare(wide, [Draft("its W4A8 export, 3 tokens", packed), s_none], [(free, 0)], options.Quick ? 8 : 24, repetitions))
        {
            yield return figure;
        }
    }

    private static ExportOptions W4A8() => new() { Precision = WeightPrecision.W4A8, IncludeDraft = false, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } };

    private static Way Draft(string name, BenchmarkModel model) => new(name, new SpeculativeOptions { Proposer = SpeculativeProposer.DraftModel, DraftFolder = model.Folder, MaxDraftTokens = 3 });

    private static IEnumerable<Figure> Compare(
        BenchmarkModel model, Way[] ways, IEnumerable<(SpeculationTexts Texts, float Temperature)> cases, int newTokens, int repetitions)
    {
        InferenceEngine[] engines =
        [
            .. ways.Select(way => InferenceEngine.Load(way.Folder ?? model.Folder, new EngineOptions { MaxSequences = SpeculationTexts.Count, MemoryBudgetBytes = 512L << 20, Speculation = way.Options })),
        ];
        try
        {
            foreach ((SpeculationTexts text, float temperature) in cases)
            {
                OutputConstraint?[] constraints = [.. engines.Select(text.Constraint)];
                foreach (int sequences in new[] { 1, SpeculationTexts.Count })
                {
                    string name = FormattableString.Invariant($"{model.Name}: {text.Name}, {(temperature == 0 ? "greedy" : $"temperature {temperature}")}, {sequences} at once");
                    Console.Error.WriteLine($"{Part}: {name}");
                    foreach (Figure figure in Case(name, ways, engines, [.. constraints.Select(constraint => text.Requests(newTokens, temperature, constraint))], sequences, repetitions))
                    {
                        yield return figure;
                    }
                }
            }
        }
        finally
        {
            Array.ForEach(engines, engine => engine.Dispose());
        }
    }

    private static IEnumerable<Figure> Case(string name, Way[] ways, InferenceEngine[] engines, IReadOnlyList<GenerationRequest>[] requests, int sequences, int repetitions)
    {
        SpeculativeStatistics?[] before = new SpeculativeStatistics?[ways.Length];
        int[] measured = new int[ways.Length];
        (Series[] series, double[] ratios) = Series.InTurns(repetitions, ways.Length, i =>
        {
            // What warms up, and fills the prefix cache, is not counted.
            if (measured[i]++ == 1)
            {
                before[i] = engines[i].Statistics.Speculation;
            }

            return Rate(engines[i], requests[i], sequences);
        });
        for (int i = 0; i < ways.Length; i++)
        {
            (string, double)[] more = [("times none", ratios[i])];
            if (before[i] is { } start && engines[i].Statistics.Speculation is { } end)
            {
                double rounds = end.Rounds - start.Rounds, evaluated = end.DraftTokensEvaluated - start.DraftTokensEvaluated;
                more =
                [
                    .. more,
                    ("acceptance", (end.DraftTokensAccepted - start.DraftTokensAccepted) / Math.Max(1, evaluated)),
                    ("proposed/round", (end.DraftTokensProposed - start.DraftTokensProposed) / Math.Max(1, rounds)),
                    ("tokens/round", (end.TokensEmitted - start.TokensEmitted) / Math.Max(1, rounds)),
                    ("rounds/token", rounds / Math.Max(1, (double)(repetitions * requests[i].Sum(request => request.Options.MaxNewTokens)))),
                ];
            }

            yield return series[i].ToFigure(Part, $"{name}: {ways[i].Name}", "tokens/s", Environment.ProcessorCount, more);
        }
    }

    /// <summary>New tokens over the time from the first request to the last answer, so many requests at once.</summary>
    private static double Rate(InferenceEngine engine, IReadOnlyList<GenerationRequest> requests, int sequences)
    {
        int tokens = 0;
        long start = Stopwatch.GetTimestamp();
        foreach (GenerationRequest[] together in requests.Chunk(sequences))
        {
            tokens += Task.WhenAll(together.Select(request => engine.GenerateAsync(request))).GetAwaiter().GetResult().Sum(result => result.Ids.Count);
        }

        return tokens / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <param name="Name">What the tables call it.</param>
    /// <param name="Options">How the engine speculates; null for not at all.</param>
    /// <param name="Folder">The export to run where it is not the one compared.</param>
    private sealed record Way(string Name, SpeculativeOptions? Options, string? Folder = null);
}
