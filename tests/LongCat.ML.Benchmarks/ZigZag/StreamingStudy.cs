using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// What streaming attentions cost longcat-nano in quality: its context is extended, then half of its attentions become streaming, chosen by α or otherwise, without and with fine-tuning. Four attentions have six
/// halves, so all of them are measured and random choices need no luck.
/// </summary>
internal static class StreamingStudy
{
    public const string Part = "zigzag-quality";

    public static int Run(BenchmarkOptions options, string nano, string scratch)
    {
        Stopwatch time = Stopwatch.StartNew();
        StreamingPlan plan = options.Quick ? StreamingPlan.Quick : new StreamingPlan();
        Directory.CreateDirectory(scratch);
        LongTexts texts = LongTexts.Read(nano);
        IReadOnlyList<TrainingExample> rows = texts.TrainingRows(plan.ExtensionSteps + plan.CalibrationSteps + plan.TuningSteps, plan.Columns);
        TrainingExample[] extending = [.. rows.Take(plan.ExtensionSteps)], calibrating = [.. rows.Skip(plan.ExtensionSteps).Take(plan.CalibrationSteps)], tuning = [.. rows.TakeLast(plan.TuningSteps)];
        ContextMeter meter = new(texts, plan, scratch);
        string Folder(string name) => Path.Combine(scratch, name);

        // The published model reads its own context; extended by YaRN, then with long rows, it is the full model that everything is compared with.
        using SemaphoreSlim places = new(Environment.ProcessorCount + 3);
        Task<ContextLosses> published = Start(() => meter.Measure("published", nano, plan.Contexts).Losses);
        string extended = CheckpointCopy.Write(
            nano, editor => editor.SetContext(plan.Contexts[^1], new ContextExtension { MaxPositions = plan.Contexts[^1] }.ScalingFor(editor.ToConfig())), Folder("extended"));
        Task<ContextLosses> untrained = Start(() => meter.Measure("extended", extended, [plan.Contexts[0], plan.ChoiceContext]).Losses);
        string longer = Tune(extended, extending, plan.ExtensionRate, Folder("longer"));
        string full = Tune(longer, texts.TrainingRows(plan.LongSteps, plan.LongColumns), plan.TuningRate, Folder("full"));

        // From here on nothing waits for another: runs of one thread each, which share cores better than runs of several.
        Task<(ContextLosses Losses, IReadOnlyList<NeedleAnswers> Needles)> fullMeasured = Start(() => meter.Measure("full", full, plan.Contexts, needles: true));
        Task<ContextLosses> control = Start(() => meter.Measure("full, tuned", Tune(full, tuning, plan.TuningRate, Folder("full-tuned")), plan.Contexts).Losses);
        int attentions = ModelConfig.Load(full).NumAttentions, count = (int)(plan.Share * attentions);
        var runs = plan.Patterns.Select((pattern, i) => (
            Pattern: pattern,
            Calibration: Start(() => Calibrate(full, calibrating, plan, pattern)),

            // Of the first pattern all halves are tuned: whether tuning levels choices is part of the question.
            Halves: Halves(attentions, count).Select(half => (Half: half, Losses: Start(() => Half(full, half, pattern, tuned: i == 0)))).ToArray())).ToArray();
        List<StreamingSection> sections = [];
        List<NeedleLine> needles = [new NeedleLine("full", fullMeasured.Result.Needles)];
        foreach (var (pattern, calibrated, halves) in runs)
        {
            ZigZagCalibration calibration = calibrated.Result;
            IReadOnlyList<int> chosen = calibration.Choose(plan.Share).AttentionLayers;
            List<StreamingLine> lines = [.. halves.OrderByDescending(half => half.Half.SequenceEqual(chosen)).Select(half =>
                new StreamingLine(half.Half, Rules(half.Half, chosen, attentions, plan), half.Losses.Result.Before, half.Losses.Result.After))];
            if (sections.Count == 0)
            {
                // The choice that counts is measured in every context.
                string name = Named(pattern, chosen);
                int[] others = [.. plan.Contexts.Where(context => context != plan.ChoiceContext)];
                Task<(ContextLosses Losses, IReadOnlyList<NeedleAnswers> Needles)> before = Start(() => meter.Measure("streaming by α", Folder(name), others));
                Task<(ContextLosses Losses, IReadOnlyList<NeedleAnswers> Needles)> after = Start(() => meter.Measure("streaming by α, tuned", Folder(name + "-tuned"), others, needles: true));
                lines[0] = lines[0] with { Before = lines[0].Before.With(before.Result.Losses), After = lines[0].After!.With(after.Result.Losses) };
                needles.Add(new NeedleLine("streaming by α, tuned", after.Result.Needles));
            }

            sections.Add(new StreamingSection(pattern.BlockSize, pattern.SinkBlocks, pattern.LocalBlocks, calibration.Attentions, lines));
        }

        StreamingReport report = new(
            MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", options.Quick, time.Elapsed.TotalSeconds, plan, texts.Changed, texts.Missing, published.Result, untrained.Result, fullMeasured.Result.Losses, control.Result,
            sections, needles);
        Console.WriteLine(report.ToMarkdown());
        if (options.Save)
        {
            report.Save();
        }

        return 0;

        (ContextLosses Before, ContextLosses? After) Half(string from, IReadOnlyList<int> half, StreamingAttentionConfig pattern, bool tuned)
        {
            string name = Named(pattern, half), sparse = Folder(name);
            SparseCheckpoint.Write(from, pattern with { AttentionLayers = half }, null, sparse);
            ContextLosses before = meter.Measure($"streaming {string.Join(", ", half)} of blocks of {pattern.BlockSize}", sparse, [plan.ChoiceContext]).Losses;
            return (before, tuned ? meter.Measure(before.Name + ", tuned", Tune(sparse, tuning, plan.TuningRate, Folder(name + "-tuned")), [plan.ChoiceContext]).Losses : null);
        }

        // Threads of their own: the pool's would all wait for a place, and the engine needs some.
        Task<T> Start<T>(Func<T> run) => Task.Factory.StartNew(
            () =>
            {
                places.Wait();
                try
                {
                    return run();
                }
                finally
                {
                    places.Release();
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private static string Named(StreamingAttentionConfig pattern, IReadOnlyList<int> half) => $"{pattern.BlockSize}-{string.Join('-', half)}";

    /// <summary>All choices of some of the attentions.</summary>
    private static IEnumerable<IReadOnlyList<int>> Halves(int attentions, int count) => Enumerable.Range(0, 1 << attentions)
        .Where(set => int.PopCount(set) == count).Select(set => (IReadOnlyList<int>)[.. Enumerable.Range(0, attentions).Where(i => (set >> i & 1) != 0)]);

    /// <summary>The rules that choose these attentions.</summary>
    private static List<string> Rules(IReadOnlyList<int> half, IReadOnlyList<int> lowest, int attentions, StreamingPlan plan)
    {
        int[] all = [.. Enumerable.Range(0, attentions)];
        ulong[] seeds = [.. plan.Seeds.Where(seed => StreamingSelection.Choose(all, plan.Share, StreamingChoice.Random, seed).SequenceEqual(half))];
        return
        [
            .. half.SequenceEqual(lowest) ? ["lowest α"] : Array.Empty<string>(),
            .. StreamingSelection.Choose(all, plan.Share, StreamingChoice.Alternate).SequenceEqual(half) ? ["alternate"] : Array.Empty<string>(),
            .. seeds.Length > 0 ? [$"random, seed {string.Join(", ", seeds)}"] : Array.Empty<string>(),
        ];
    }

    private static ZigZagCalibration Calibrate(string checkpoint, IReadOnlyList<TrainingExample> rows, StreamingPlan plan, StreamingAttentionConfig pattern)
    {
        using ZigZagCalibrator calibrator = ZigZagCalibrator.Create(checkpoint, rows, null, new ZigZagCalibrationOptions
        {
            BlockSize = pattern.BlockSize, SinkBlocks = pattern.SinkBlocks, LocalBlocks = pattern.LocalBlocks, Steps = plan.CalibrationSteps, BatchRows = 1, Columns = plan.Columns,
            LearningRate = plan.AlphaRate, Share = plan.Share, SaveEvery = 0, Threads = 1,
        });
        calibrator.Run();
        Console.Error.WriteLine(FormattableString.Invariant($"  calibrated in {calibrator.Elapsed.TotalSeconds:F0} s: α {string.Join(", ", calibrator.Result.Attentions.Select(entry => FormattableString.Invariant($"{entry.Alpha:F3}")))}"));
        return calibrator.Result;
    }

    /// <summary>Trains all weights, each row once.</summary>
    private static string Tune(string checkpoint, IReadOnlyList<TrainingExample> rows, double rate, string folder)
    {
        using FineTuner tuner = FineTuner.Create(checkpoint, rows, null, new FineTuningOptions
        {
            Lora = null, Steps = rows.Count, BatchRows = 1, Columns = rows[0].Ids.Length, LearningRate = rate, EvaluateEvery = 0, SaveEvery = 0, Threads = 1,
        });
        FineTuningResult run = tuner.Run();
        tuner.Save(folder);
        Console.Error.WriteLine(FormattableString.Invariant($"  {Path.GetFileName(folder)}: {run.Steps} steps in {run.Elapsed.TotalSeconds:F0} s, training loss {run.TrainingLoss:F3}, {run.PeakMemory / 1e6:F0} MB at most"));
        return folder;
    }
}
