using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>Exports checkpoints and measures them in the engine, which holds no scores: float32 weights and caches.</summary>
internal sealed class ContextMeter(LongTexts texts, StreamingPlan plan, string scratch)
{
    private readonly int[] _heldOut = texts.HeldOutText(plan.HeldOutTokens);
    private int _exports;

    /// <summary>Measures a checkpoint's losses, and how well it finds needles where that is asked for.</summary>
    /// <param name="name">What the tables call it.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="of">The contexts, of which those are measured that the checkpoint can read.</param>
    /// <param name="needles">Whether to look for needles too.</param>
    public (ContextLosses Losses, IReadOnlyList<NeedleAnswers> Needles) Measure(string name, string checkpoint, IReadOnlyList<int> of, bool needles = false)
    {
        Stopwatch time = Stopwatch.StartNew();
        using BenchmarkModel model = new(name, checkpoint, Path.Combine(scratch, $"export-{Interlocked.Increment(ref _exports)}"), new ExportOptions { Precision = WeightPrecision.F32, IncludeDraft = false });
        int[] contexts = [.. of.Where(context => context <= model.Config.MaxPositions)], asked = needles ? [.. plan.Contexts] : contexts;
        using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions
        {
            Threads = 1, MaxSequences = 16, MaxStepTokens = 2048, MemoryBudgetBytes = model.TokenCacheBytes * (asked[^1] + (16L * 2048)),
        });
        ContextLosses losses = new(name, [.. plan.Contexts.Select(context => contexts.Contains(context) ? Segments(engine, context) : [])]);
        IReadOnlyList<NeedleAnswers> found = needles ? [.. asked.Select(context => NeedleTest.Run(engine, texts, context, plan.NeedleTrials))] : [];
        Console.Error.WriteLine(FormattableString.Invariant($"  {name}: perplexity {string.Join(" / ", losses.Perplexity.Select(value => value is null ? "-" : FormattableString.Invariant($"{value:F3}")))}{string.Concat(found.Select(answers => FormattableString.Invariant($", needles {answers.Right} of {answers.Asked}")))}, {time.Elapsed.TotalSeconds:F0} s"));
        return (losses, found);
    }

    private double[] Segments(InferenceEngine engine, int context)
    {
        int segment = plan.Contexts[0];
        double[] losses = new double[_heldOut.Length];
        Task<ScoreResult>[] windows =
        [
            .. Enumerable.Range(0, _heldOut.Length / context).Select(window => engine.ScoreAsync(new ScoreRequest
            {
                PromptIds = _heldOut[(window * context)..((window * context) + 1)], ContinuationIds = _heldOut[((window * context) + 1)..((window + 1) * context)],
            })),
        ];
        Task.WaitAll(windows);
        for (int window = 0; window < windows.Length; window++)
        {
            for (int i = 1; i < context; i++)
            {
                losses[(window * context) + i] = -windows[window].Result.TokenLogLikelihoods[i - 1];
            }
        }

        // A segment's first token has nothing before it in the shortest context: no context counts it.
        return [.. Enumerable.Range(0, losses.Length / segment).Select(i => losses.AsSpan((i * segment) + 1, segment - 1).ToArray().Average())];
    }
}
