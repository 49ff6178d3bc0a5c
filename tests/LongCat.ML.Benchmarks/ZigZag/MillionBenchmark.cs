using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// A prompt of a million tokens through longcat-nano with half of its attentions streaming: how fast each tenth of it was read, and how much memory the process had by then. The
/// weights were trained on 2,048 positions, so what it generates afterwards means nothing; the run shows that the machinery holds.
/// </summary>
internal static class MillionBenchmark
{
    private const string Part = "million";
    private const int Marks = 10, NewTokens = 17;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        int length = options.Quick ? 16_384 : 1_000_000, threads = Environment.ProcessorCount;
        ModelConfig nano = ModelConfig.Load(models.Nano.CheckpointFolder);
        using BenchmarkModel model = LongContextModels.Export(
            models, "half streaming", length + 256, LongContextModels.Alternate(nano), new ExportOptions { Precision = WeightPrecision.BF16, CacheType = CacheType.BFloat16 });
        using InferenceEngine engine = InferenceEngine.Load(
            model.Folder, new EngineOptions { Threads = threads, MaxSequences = 1, MemoryBudgetBytes = model.TokenCacheBytes * (length + 256) });
        Prompts prompts = new(nano.VocabSize);
        GenerationRequest request = prompts.Request(length, NewTokens);
        Stopwatch time = Stopwatch.StartNew();
        Task<GenerationResult> task = engine.GenerateAsync(request);
        long read = 0;
        double at = 0;
        for (int mark = 1; mark < Marks; mark++)
        {
            while (!task.IsCompleted && engine.Statistics.PrefillTokens < (long)length * mark / Marks)
            {
                Thread.Sleep(50);
            }

            if (task.IsCompleted)
            {
                break;
            }

            (long tokens, double now) = (engine.Statistics.PrefillTokens, time.Elapsed.TotalSeconds);
            yield return Tenth(tokens, (tokens - read) / (now - at), now);
            (read, at) = (tokens, now);
        }

        GenerationResult result = task.GetAwaiter().GetResult();
        yield return Tenth(length, (length - read) / (result.TimeToFirstToken.TotalSeconds - at), result.TimeToFirstToken.TotalSeconds);
        double decode = (result.Ids.Count - 1) / (result.Elapsed - result.TimeToFirstToken).TotalSeconds;
        yield return new Figure(Part, $"decode after {length} tokens", threads, "tokens/s", decode, decode, 0, 1, Memory(result.Elapsed.TotalSeconds));

        Figure Tenth(long tokens, double rate, double seconds) => new(Part, $"the prompt up to {tokens} tokens", threads, "tokens/s", rate, rate, 0, 1, Memory(seconds));

        Dictionary<string, double> Memory(double seconds)
        {
            using Process process = Process.GetCurrentProcess();
            return new()
            {
                ["seconds"] = seconds, ["private MB"] = process.PrivateMemorySize64 / 1e6, ["resident MB"] = process.WorkingSet64 / 1e6, ["peak resident MB"] = process.PeakWorkingSet64 / 1e6,
            };
        }
    }
}
