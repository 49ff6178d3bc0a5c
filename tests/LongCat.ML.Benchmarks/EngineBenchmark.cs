using System.Diagnostics;
using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks;

/// <summary>Tokens per second of the engine: prompts read, and tokens generated for one and for eight sequences.</summary>
internal static class EngineBenchmark
{
    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        ReadBandwidth bandwidth = new(options.Quick);
        foreach (BenchmarkModel model in new[] { models.Nano, models.Random })
        {
            foreach (int threads in new[] { 1, 2, Environment.ProcessorCount }.Where(count => count <= Environment.ProcessorCount).Distinct())
            {
                Console.Error.WriteLine($"engine: {model.Name}, threads {threads}");
                using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { Threads = threads, MemoryBudgetBytes = 256 << 20 });
                Prompts prompts = new(model.Config.VocabSize);
                foreach (int length in new[] { 128, 512 })
                {
                    yield return Series.Of(options.Repetitions, higherIsBetter: true, () => PrefillRate(engine, prompts.Request(length, newTokens: 1)))
                        .ToFigure("engine", $"{model.Name}: prefill, {length} tokens", "tokens/s", threads);
                }

                foreach (int sequences in new[] { 1, 8 })
                {
                    (Series decode, Series passes, _) = Series.InTurns(options.Repetitions, () => (
                        DecodeRate(engine, () => [.. Enumerable.Range(0, sequences).Select(_ => prompts.Request(16, newTokens: 64))]),
                        bandwidth.Measure(threads)));
                    double bytes = model.StepBytes(sequences), read = bytes * decode.Best / sequences;
                    yield return decode.ToFigure(
                        "engine", $"{model.Name}: decode, {sequences} at once", "tokens/s", threads, ("MB/step", bytes / 1e6), ("MB/token", bytes / sequences / 1e6),
                        ("GB/s", read / 1e9), ("machine GB/s", passes.Best / 1e9), ("share", read / passes.Best));
                }
            }
        }
    }

    // Times are taken by the engine's own thread: a caller that the system wakes late would shift them.
    private static double PrefillRate(InferenceEngine engine, GenerationRequest request) =>
        request.PromptIds!.Count / engine.GenerateAsync(request).GetAwaiter().GetResult().TimeToFirstToken.TotalSeconds;

    /// <summary>Tokens per second after the first ones: the sum of the sequences' paces, taken only when nearly all of the time they ran together.</summary>
    private static double DecodeRate(InferenceEngine engine, Func<GenerationRequest[]> requests)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            (TimeSpan Start, GenerationResult Result)[] runs = Task.WhenAll(requests().Select(request => Run(engine, request))).GetAwaiter().GetResult();
            TimeSpan[] begins = [.. runs.Select(run => run.Start + run.Result.TimeToFirstToken)], ends = [.. runs.Select(run => run.Start + run.Result.Elapsed)];
            if (ends.Min() - begins.Max() >= 0.8 * (ends.Max() - begins.Min()))
            {
                return runs.Sum(run => (run.Result.Ids.Count - 1) / (run.Result.Elapsed - run.Result.TimeToFirstToken).TotalSeconds);
            }
        }

        throw new InvalidOperationException("sequences that were started together did not run together in ten attempts; the machine is too busy to measure");
    }

    private static async Task<(TimeSpan Start, GenerationResult Result)> Run(InferenceEngine engine, GenerationRequest request)
    {
        TimeSpan start = Stopwatch.GetElapsedTime(0);
        return (start, await engine.GenerateAsync(request).ConfigureAwait(false));
    }
}
