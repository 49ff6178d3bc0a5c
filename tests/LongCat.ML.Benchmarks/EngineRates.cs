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
    /// Of several sequences with long prompts, which may begin some steps apart: the tokens between the last sequence's first token and the moment the first sequence ends,
    /// by the clock of who receives them.
    /// </summary>
    public static double DecodeStreamed(InferenceEngine engine, GenerationRequest[] requests)
    {
        for (int attempt = 0; attempt < 10; attempt++)
        {
            // Each call runs up to its first wait, so that all requests are in line before the first step.
            List<long>[] stamps = Task.WhenAll(requests.Select(request => Stamps(engine, request))).GetAwaiter().GetResult();
            long begin = stamps.Max(sequence => sequence[0]), end = stamps.Min(sequence => sequence[^1]);
            int tokens = stamps.Sum(sequence => sequence.Count(stamp => stamp > begin && stamp <= end));
            if (end > begin && tokens >= 4 * requests.Length)
            {
                return tokens / Stopwatch.GetElapsedTime(begin, end).TotalSeconds;
            }
        }

        throw new InvalidOperationException($"{requests.Length} sequences that were started together did not run together in ten attempts; the machine is too busy to measure");
    }

    private static async Task<List<long>> Stamps(InferenceEngine engine, GenerationRequest request)
    {
        List<long> stamps = [];
        await foreach (GenerationUpdate update in engine.GenerateStreamingAsync(request).ConfigureAwait(false))
        {
            if (update.Id >= 0)
            {
                stamps.Add(Stopwatch.GetTimestamp());
            }
        }

        return stamps;
    }

    private static async Task<(TimeSpan Start, GenerationResult Result)> Run(InferenceEngine engine, GenerationRequest request)
    {
        TimeSpan start = Stopwatch.GetElapsedTime(0);
        return (start, await engine.GenerateAsync(request).ConfigureAwait(false));
    }
}
