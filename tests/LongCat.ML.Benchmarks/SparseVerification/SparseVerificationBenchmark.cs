using System.Text.Json.Nodes;
using LongCat.ML.Benchmarks.Quality;
using LongCat.ML.Benchmarks.ZigZag;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks.SparseVerification;

/// <summary>
/// What sparse verification saves and what it costs: the time of a round and the tokens that it gives against the budget at long contexts, on longcat-nano's weights and on a generated model; and its quality on held-out text, each
/// axis alone and together, beside exact verification.
/// </summary>
internal static class SparseVerificationBenchmark
{
    private const string Times = "sparse-verification: rounds", Quality = "sparse-verification: quality", Engine = "sparse-verification: engine";
    private const int Drafts = 4;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        int[] lengths = options.Quick ? [1024, 2048] : [4096, 16384, 65536];
        HeldOutText text = HeldOutText.Read(models.Nano.CheckpointFolder, options.Quick ? 10 : 1, calibrationRows: 2048);
        int[] held = [.. text.Documents.SelectMany(document => document)];
        return OfQuality(models, options, text, held).Concat(OfEngine(models, options, held)).Concat(OfTimes(models, options, lengths, held));
    }

    /// <summary>Within the 2,048 positions that longcat-nano was trained on: held-out documents one after another, rounds all along them.</summary>
    private static IEnumerable<Figure> OfQuality(BenchmarkModels models, BenchmarkOptions options, HeldOutText text, int[] held)
    {
        using BenchmarkModel nano = new("longcat-nano", models.Nano.CheckpointFolder, models.Scratch("nano-sparse"), new ExportOptions { IncludeDraft = false, SparseVerification = true });
        int longest = nano.Manifest.MaxPositions, sequences = options.Quick ? 2 : 16;
        int[] training = [.. text.Training.SelectMany(document => document)];
        SparseCalibration calibration = SparseCalibrator.Measure(
            nano.Folder, Cut(training, longest, sequences), new SparseCalibrationOptions { Attention = new AttentionBudget { BlockSize = 16 }, Stride = 64 });
        IReadOnlyList<(string Name, Inference.SparseVerification Verification)> ways = VerificationBudgets.Of(block: 16, dense: 128, experts: 2, calibration);
        IReadOnlyList<SparseComparison> found = SparseEvaluator.Compare(
            nano.Folder, Cut(held, longest, sequences), [.. ways.Select(way => way.Verification)], new SparseEvaluationOptions { DraftTokens = Drafts, First = 512, Stride = options.Quick ? 128 : 32 });
        for (int i = 0; i < ways.Count; i++)
        {
            yield return new Figure(Quality, $"longcat-nano, {ways[i].Name}", 0, "KL, nats/1000", 1000 * found[i].KlDivergence, 1000 * found[i].KlDivergence, 0, found[i].Rounds, new Dictionary<string, double>
            {
                ["argmax"] = found[i].ArgmaxAgreement,
                ["perplexity"] = found[i].Perplexity,
                ["exact"] = found[i].ExactPerplexity,
                ["tokens a round"] = found[i].AcceptanceLength,
            });
        }

        for (int attention = 1; attention < calibration.Similarity.Count; attention++)
        {
            double similarity = calibration.Similarity[attention];
            yield return new Figure(Quality, $"longcat-nano, blocks of attention {attention} like its anchor's", 0, "Jaccard", similarity, similarity, 0, (int)calibration.Choices, new Dictionary<string, double>());
        }

        foreach (ChannelActivity activity in calibration.Activity)
        {
            yield return new Figure(Quality, $"longcat-nano, skipped at 0.05: {activity.Network}", 0, "share", activity.Below[1], activity.Below[1], 0, 1, new Dictionary<string, double>());
        }
    }

    /// <summary>The whole engine with the model's own draft head: what a round gives where the text goes on from what sparse rounds chose, refreshes included.</summary>
    private static IEnumerable<Figure> OfEngine(BenchmarkModels models, BenchmarkOptions options, int[] held)
    {
        int requests = options.Quick ? 1 : 8, prompt = options.Quick ? 512 : 1536, threads = Environment.ProcessorCount;
        string folder = models.Scratch("nano-sparse-draft");
        OnnxExporter.Export(models.Nano.CheckpointFolder, folder, new ExportOptions { SparseVerification = true });
        (string Name, Inference.SparseVerification? Verification)[] ways =
        [
            ("exact", null), .. VerificationBudgets.Of(block: 16, dense: 128, experts: 1, calibration: null).Select(way => (way.Name, (Inference.SparseVerification?)way.Verification)),
        ];
        foreach ((string name, Inference.SparseVerification? verification) in ways)
        {
            using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions
            {
                Threads = threads, MaxSequences = 1, Speculation = new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp, MaxDraftTokens = Drafts, Verification = verification },
            });
            for (int i = 0; i < requests; i++)
            {
                int[] ids = held[(i * prompt)..((i + 1) * prompt)];
                engine.GenerateAsync(new GenerationRequest { PromptIds = ids, Options = new GenerationOptions { MaxNewTokens = options.Quick ? 32 : 128, IgnoreEos = true } }).GetAwaiter().GetResult();
            }

            SpeculativeStatistics statistics = engine.Statistics.Speculation!;
            double tokens = statistics.MeanEmittedTokensPerRound;
            yield return new Figure(Engine, $"longcat-nano, mtp, {name}", threads, "tokens/round", tokens, tokens, 0, (int)statistics.Rounds, new Dictionary<string, double>
            {
                ["acceptance"] = statistics.AcceptanceRate,
                ["ms a round"] = statistics.TotalTargetMs / Math.Max(1, statistics.TargetForwardPasses),
                ["refreshes"] = statistics.Refreshes,
            });
        }
    }

    private static IEnumerable<Figure> OfTimes(BenchmarkModels models, BenchmarkOptions options, int[] lengths, int[] held)
    {
        int threads = Environment.ProcessorCount, context = lengths[^1] + 512;
        ExportOptions export = new() { Precision = WeightPrecision.BF16, SparseVerification = true };
        using BenchmarkModel nano = LongContextModels.Export(models, "nano sparse", context, [], export);
        BenchmarkShape shape = options.Quick ? BenchmarkShape.Small[0] : BenchmarkShape.Wide;
        JsonObject config = (JsonObject)shape.Config.DeepClone();
        config["max_position_embeddings"] = context;
        using BenchmarkModel generated = models.Export(new BenchmarkShape(shape.Name, config), "sparse", export);
        foreach ((BenchmarkModel model, string name, int experts) in new[] { (nano, "longcat-nano", 1), (generated, shape.Name, 0) })
        {
            foreach (int length in lengths)
            {
                Console.Error.WriteLine($"{Times}: {name}, {length} tokens");
                int vocabulary = model.Config.VocabSize, rounds = options.Quick ? 2 : 6;

                // Text where there is a model of it; it ends a little behind the context, with room for the rounds.
                int[] ids = name == shape.Name
                    ? [.. new Prompts(vocabulary).Request(length + 128, 1).PromptIds!]
                    : [.. Enumerable.Range(0, length + 128).Select(i => held[i % held.Length])];
                IReadOnlyList<(string Name, Inference.SparseVerification Verification)> ways = VerificationBudgets.Of(block: 64, dense: options.Quick ? 256 : 1024, experts, calibration: null);
                IReadOnlyList<SparseComparison> found = SparseEvaluator.Compare(
                    model.Folder, [ids], [.. ways.Select(way => way.Verification)], new SparseEvaluationOptions { DraftTokens = Drafts, First = length, Stride = 120 / rounds, Threads = threads });
                for (int i = 0; i < ways.Count; i++)
                {
                    yield return new Figure(Times, $"{name}, {length} tokens, {ways[i].Name}", threads, "ms/round", found[i].Milliseconds, found[i].Milliseconds, 0, found[i].Rounds, new Dictionary<string, double>
                    {
                        ["exact ms"] = found[i].ExactMilliseconds,
                        ["times as fast"] = found[i].ExactMilliseconds / found[i].Milliseconds,
                        ["tokens a round"] = found[i].AcceptanceLength,
                        ["argmax"] = found[i].ArgmaxAgreement,
                    });
                }
            }
        }
    }

    /// <summary>As many whole sequences as there are, at most so many.</summary>
    private static IReadOnlyList<int[]> Cut(int[] ids, int length, int most) => [.. ids.Chunk(length).Where(chunk => chunk.Length == length).Take(most)];
}
