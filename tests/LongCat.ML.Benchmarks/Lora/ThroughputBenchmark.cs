using System.Diagnostics;
using System.Text.Json;
using LongCat.ML.Benchmarks.Scale;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training;
using LongCat.ML.Training.FineTuning;
using TorchSharp;
using static TorchSharp.torch;
using ProcessMemory = LongCat.ML.Benchmarks.Scale.ProcessMemory;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>
/// A LoRA step of the generated 0.6B model through our layers and trainer beside the same step written directly against the tensor library (<see cref="DirectLoraStep"/>): the same rows, the same frozen float32
/// matrices in memory, the same first adapter (rank 8 on every projection), clipping and AdamW. In turns; each also alone in a process for its memory.
/// </summary>
internal static class ThroughputBenchmark
{
    public const string Verb = "lora-memory";

    private const string Part = "LoRA step";
    private const int Rows = 2;
    private const double Rate = 1e-4, Clip = 1;

    /// <summary>What a step may take at most of the direct one's time.</summary>
    private const double Goal = 1.15;

    /// <summary>The two write the same formulas in another order of sums: after a few steps losses agree to this.</summary>
    private const double Agreement = 1e-3;

    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        BenchmarkShape shape = models.Shapes[1];
        string checkpoint = BenchmarkModels.Checkpoint(shape);
        int columns = options.Quick ? 16 : 128, threads = Environment.ProcessorCount;
        TorchRuntime.Configure(threads);
        using CausalLanguageModel model = CausalLanguageModel.Load(checkpoint);
        IReadOnlyDictionary<string, Tensor> weights = model.state_dict();
        TrainingExample[] examples = Examples(shape.VocabSize, columns);
        using FineTuner ours = FineTuner.Create(model, examples, null, Settings(columns, threads));
        using DirectLoraStep direct = Direct(model, weights, ours.Adapted!);
        long[] ids = [.. examples.SelectMany(example => example.Ids).Select(id => (long)id)];
        double tokens = Rows * columns;
        List<(double Ours, double Direct)> losses = [];
        (Series first, Series second, double ratio) = Series.InTurns(options.Repetitions, () =>
        {
            double ourLoss = 0, directLoss = 0;
            double ourSeconds = Series.Seconds(() => ourLoss = ours.Step().Loss), directSeconds = Series.Seconds(() => directLoss = direct.Step(ids, Rows, columns));
            losses.Add((ourLoss, directLoss));
            return (tokens / ourSeconds, tokens / directSeconds);
        });
        if (losses.Max(pair => Math.Abs(pair.Ours - pair.Direct) / pair.Direct) is var apart && apart > Agreement)
        {
            throw new InvalidOperationException(FormattableString.Invariant($"the two steps do not compute the same: their losses are {apart:P2} apart ({string.Join(", ", losses)})"));
        }

        double times = 1 / ratio;
        Dictionary<string, double> memory = Memory(checkpoint, "ours", columns), directMemory = Memory(checkpoint, "direct", columns);
        string name = $"{shape.Name}, {Rows} x {columns} tokens, rank 8 on all projections";
        yield return first.ToFigure(Part, name + ", ours", "tokens/s", threads, ("times direct", times), ("peak MB", memory["peak"]), ("loaded MB", memory["loaded"]), ("loss", losses[^1].Ours)) with
        {
            Verdict = times <= Goal ? "reached" : FormattableString.Invariant($"missed: {times:F2} times the direct step, {Goal} asked for"),
        };
        yield return second.ToFigure(Part, name + ", written directly", "tokens/s", threads, ("peak MB", directMemory["peak"]), ("loaded MB", directMemory["loaded"]), ("loss", losses[^1].Direct));
    }

    /// <summary>The memory of one of the two in a process of its own.</summary>
    public static int RunChild(string checkpoint, string which, int columns)
    {
        int threads = Environment.ProcessorCount;
        TorchRuntime.Configure(threads);
        using CausalLanguageModel model = CausalLanguageModel.Load(checkpoint);
        TrainingExample[] examples = Examples(model.Config.VocabSize, columns);
        double loaded = ProcessMemory.Private();
        using PeakMemory peak = new();
        if (which == "ours")
        {
            using FineTuner ours = FineTuner.Create(model, examples, null, Settings(columns, threads));
            ours.Step();
            ours.Step();
        }
        else
        {
            IReadOnlyDictionary<string, Tensor> weights = model.state_dict();
            using DirectLoraStep direct = DirectFromAttached(model, weights);
            long[] ids = [.. examples.SelectMany(example => example.Ids).Select(id => (long)id)];
            direct.Step(ids, Rows, columns);
            direct.Step(ids, Rows, columns);
        }

        Console.WriteLine(JsonSerializer.Serialize(new Dictionary<string, double> { ["peak"] = peak.Bytes / 1e6, ["loaded"] = loaded / 1e6 }));
        return 0;
    }

    private static Dictionary<string, double> Memory(string checkpoint, string which, int columns)
    {
        using Process process = Process.Start(new ProcessStartInfo(
            "dotnet", [typeof(ThroughputBenchmark).Assembly.Location, Verb, checkpoint, which, columns.ToString(System.Globalization.CultureInfo.InvariantCulture)]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? JsonSerializer.Deserialize<Dictionary<string, double>>(printed)! : throw new InvalidOperationException($"{Verb} {which} ended with exit code {process.ExitCode}");
    }

    private static DirectLoraStep DirectFromAttached(CausalLanguageModel model, IReadOnlyDictionary<string, Tensor> weights)
    {
        using AdaptedModel adapted = AdaptedModel.Attach(model, Adapter);
        DirectLoraStep direct = Direct(model, weights, adapted);
        adapted.Detach();
        return direct;
    }

    private static DirectLoraStep Direct(CausalLanguageModel model, IReadOnlyDictionary<string, Tensor> weights, AdaptedModel adapted)
    {
        Dictionary<string, (Tensor A, Tensor B)> first = adapted.Parameters
            .GroupBy(parameter => parameter.Module, StringComparer.Ordinal)
            .ToDictionary(
                module => module.Key,
                module => ((Tensor)module.First(parameter => parameter.Role == AdapterRole.A).Parameter, (Tensor)module.First(parameter => parameter.Role == AdapterRole.B).Parameter));
        return new DirectLoraStep((DecoderConfig)model.Config, weights, first, Adapter.Alpha / Adapter.Rank, Rate, Clip);
    }

    private static LoraOptions Adapter { get; } = new() { Rank = 8, Alpha = 16, Seed = 1 };

    private static FineTuningOptions Settings(int columns, int threads) => new()
    {
        Lora = Adapter,
        Steps = 1000,
        BatchRows = Rows,
        Columns = columns,
        LearningRate = Rate,
        Schedule = LearningRateSchedule.Constant,
        WarmupSteps = 0,
        EvaluateEvery = 0,
        Threads = threads,
    };

    /// <summary>Rows that fill a packed row each; every token but the first is learned.</summary>
    private static TrainingExample[] Examples(int vocabulary, int columns)
    {
        Random random = new(1);
        return [.. Enumerable.Range(0, Rows).Select(_ => new TrainingExample([.. Enumerable.Range(0, columns).Select(_ => random.Next(3, vocabulary))], [.. Enumerable.Repeat(true, columns)]))];
    }
}
