using System.Diagnostics;
using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks;

/// <summary>Tokens per second of an engine. Where it can be, the engine's own times are taken: a caller that the system wakes late would shift them.</summary>
internal static class EngineRates
{
    /// <summary>Of a prompt, until its first new token.</summary>
    public static double Prompt(InferenceEngine engine, GenerationRequest request) =>
        request.PromptIds!.Count / engine.GenerateAsync(request).GetAwaiter().GetResult().TimeToFirstToken.TotalSeconds;

    /// <summary>Of one sequence, after its first token.</summary>
    public static double Decode(InferenceEngine engine, GenerationRequest request)
    {
        GenerationResult result = engine.GenerateAsync(request).GetAwaiter().GetResult();
        return (result.Ids.Count - 1) / (result.Elapsed - result.TimeToFirstToken).TotalSeconds;
    }

    /// <summary>Of several sequences, after the first ones: the sum of their paces, taken only when nearly all of the time they ran together.</summary>
    public static double DecodeTogether(InferenceEngine engine, Func<GenerationRequest[]> requests)
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

    /// <summary>
    /// Of several sequences with long prompts, which may begin some steps apart: the pace of the last request times their number. The others have more tokens to
    /// generate, so they run as long as it does; it counts when all of them had begun before its first quarter was over.
    /// </summary>
    public static double DecodeBesides(InferenceEngine engine, IReadOnlyList<GenerationRequest> longer, GenerationRequest last)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            // Each call runs up to its first wait: the requests are in line in this order.
            (TimeSpan Start, GenerationResult Result)[] runs = Task.WhenAll(longer.Append(last).Select(request => Run(engine, request))).GetAwaiter().GetResult();
            (TimeSpan start, GenerationResult result) = runs[^1];
            TimeSpan begin = start + result.TimeToFirstToken, end = start + result.Elapsed;
            if (runs.Max(run => run.Start + run.Result.TimeToFirstToken) <= begin + ((end - begin) / 4) && runs.Min(run => run.Start + run.Result.Elapsed) >= end - ((end - begin) / 8))
            {
                return runs.Length * (result.Ids.Count - 1) / (end - begin).TotalSeconds;
            }
        }

        throw new InvalidOperationException($"{longer.Count + 1} sequences that were started together did not run together in ten attempts; the machine is too busy to measure");
    }

    private static async Task<(TimeSpan Start, GenerationResult Result)> Run(InferenceEngine engine, GenerationRequest request)
    {
        TimeSpan start = Stopwatch.GetElapsedTime(0);
        return (start, await engine.GenerateAsync(request).ConfigureAwait(false));
    }
}
