using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using LongCat.ML.Benchmarks.Scale;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training;
using LongCat.ML.Training.FineTuning;
using ProcessMemory = LongCat.ML.Benchmarks.Scale.ProcessMemory;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>What a child is to do.</summary>
/// <param name="Kind"><c>runs</c>, <c>base</c> or <c>cost</c>.</param>
/// <param name="Method">The method's name; empty for the model as it is.</param>
/// <param name="TaskPath">The task.</param>
/// <param name="Model">longcat-nano.</param>
/// <param name="Threads">Threads of an operation.</param>
/// <param name="Plan">The sizes.</param>
internal sealed record StudyJob(string Kind, string Method, string TaskPath, string Model, int Threads, StudyPlan Plan);

/// <summary>A learning rate that was tried and the loss on the selection rows; infinite where training failed.</summary>
internal sealed record StudyRate(double Rate, double Loss);

/// <summary>A run that counts: test figures, and the mean training loss of every tenth of the steps.</summary>
internal sealed record StudyRunFigures(ulong Seed, StudyFigures Test, IReadOnlyList<double> Curve);

/// <summary>What a child found; parts that its job does not ask for are empty.</summary>
internal sealed record StudyAnswer
{
    public IReadOnlyList<StudyRate> Rates { get; init; } = [];

    public double Rate { get; init; }

    public IReadOnlyList<StudyRunFigures> Runs { get; init; } = [];

    public long Trainable { get; init; }

    /// <summary>The model as it is.</summary>
    public StudyFigures? Base { get; init; }

    /// <summary>The share of rows whose completion the model as it is finds the most likely of all labels.</summary>
    public double? BaseChoice { get; init; }

    public double SecondsPerStep { get; init; }

    /// <summary>Private memory at most, and before training, with the model loaded.</summary>
    public double PeakMegabytes { get; init; }

    public double LoadedMegabytes { get; init; }
}

/// <summary>A part of the study in a process of its own: two run side by side on one thread each, and the memory of a method is nobody else's.</summary>
internal static class StudyChild
{
    public const string Verb = "lora-child";

    private static readonly JsonSerializerOptions Json = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>Starts this program again.</summary>
    public static StudyAnswer Start(StudyJob job)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [typeof(StudyChild).Assembly.Location, Verb, JsonSerializer.Serialize(job, Json)]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? JsonSerializer.Deserialize<StudyAnswer>(printed, Json)!
            : throw new InvalidOperationException($"the part {job.Kind} of {job.Method} ended with exit code {process.ExitCode}");
    }

    public static int Run(string text)
    {
        StudyJob job = JsonSerializer.Deserialize<StudyJob>(text, Json)!;
        TorchRuntime.Configure(job.Threads);
        StudyTask task = StudyTask.Load(job.TaskPath);
        ExampleEncoder encoder = ExampleEncoder.Load(job.Model);
        StudyAnswer answer = job.Kind switch
        {
            "base" => Base(job, task, encoder),
            "cost" => Cost(job, task, encoder),
            _ => Runs(job, task, encoder),
        };
        Console.WriteLine(JsonSerializer.Serialize(answer, Json));
        return 0;
    }

    private static StudyAnswer Runs(StudyJob job, StudyTask task, ExampleEncoder encoder)
    {
        StudyMethod method = StudyMethod.All.First(one => one.Name == job.Method);
        StudyPlan plan = job.Plan;
        List<StudyRate> rates = [];
        foreach (double rate in plan.Rate is null ? method.Rates : [])
        {
            Try(rate);
        }

        // Where the best rate is an end of the grid, the next one beyond may be better.
        for (int extension = 0; extension < plan.Extensions && plan.Rate is null; extension++)
        {
            double best = rates.MinBy(rate => rate.Loss)!.Rate, least = rates.Min(rate => rate.Rate), most = rates.Max(rate => rate.Rate);
            if (best != least && best != most)
            {
                break;
            }

            Try(best == most ? Third(best, up: true) : Third(best, up: false));
        }

        double chosen = plan.Rate ?? rates.MinBy(rate => rate.Loss)!.Rate;
        List<StudyRunFigures> runs = [];
        long trainable = 0;
        foreach (ulong seed in plan.Seeds)
        {
            (StudyFigures figures, IReadOnlyList<double> curve, trainable) = Train(chosen, seed, task.Test);
            runs.Add(new StudyRunFigures(seed, figures, curve));
            Console.Error.WriteLine(FormattableString.Invariant($"    {task.Name}, {method.Name}, rate {chosen:G2}, seed {seed}: loss {figures.Loss:F4}, tokens {figures.TokenAccuracy:P1}, rows {figures.ExactAccuracy:P1}"));
        }

        return new StudyAnswer { Rates = [.. rates.OrderBy(rate => rate.Rate)], Rate = chosen, Runs = runs, Trainable = trainable };

        void Try(double rate)
        {
            double loss;
            try
            {
                loss = Train(rate, plan.GridSeed, task.Selection).Figures.Loss;
            }
            catch (FineTuningException)
            {
                loss = double.PositiveInfinity;
            }

            rates.Add(new StudyRate(rate, double.IsFinite(loss) ? loss : double.PositiveInfinity));
        }

        (StudyFigures Figures, IReadOnlyList<double> Curve, long Trainable) Train(double rate, ulong seed, IReadOnlyList<StudyRow> rows)
        {
            using CausalLanguageModel model = CausalLanguageModel.Load(job.Model);
            using FineTuner tuner = FineTuner.Create(model, Examples(task.Train, encoder), null, Options(method, plan, rate, seed, job.Threads));
            double[] losses = new double[plan.Steps];
            for (int step = 0; step < plan.Steps; step++)
            {
                losses[step] = tuner.Step().Loss;
            }

            model.eval();
            double[] curve = [.. losses.Chunk(Math.Max(1, plan.Steps / 10)).Select(part => part.Average())];
            return (StudyEvaluation.Run(model, Documents(rows, encoder, plan.Columns), plan.Columns), curve, tuner.TrainableParameters);
        }
    }

    private static StudyAnswer Base(StudyJob job, StudyTask task, ExampleEncoder encoder)
    {
        using CausalLanguageModel model = CausalLanguageModel.Load(job.Model);
        StudyFigures figures = StudyEvaluation.Run(model, Documents(task.Test, encoder, job.Plan.Columns), job.Plan.Columns);
        IReadOnlyList<string> labels = task.Labels();
        if (labels.Count == task.Train.Count || labels.Count > 100)
        {
            return new StudyAnswer { Base = figures };
        }

        // Which label is the most likely behind the prompt: what a classifier that was not trained would say.
        StudyRow[] pairs = [.. task.Test.SelectMany(row => labels.Select(label => row with { Completion = label }))];
        double[] likelihoods = new double[pairs.Length];
        foreach ((int document, double logLikelihood, _, _) in StudyEvaluation.Each(model, Documents(pairs, encoder, job.Plan.Columns), job.Plan.Columns))
        {
            likelihoods[document] = logLikelihood;
        }

        int right = task.Test.Where((row, i) => labels[Array.IndexOf(likelihoods, likelihoods.Skip(i * labels.Count).Take(labels.Count).Max(), i * labels.Count) - (i * labels.Count)] == row.Completion).Count();
        return new StudyAnswer { Base = figures, BaseChoice = right / (double)task.Test.Count };
    }

    private static StudyAnswer Cost(StudyJob job, StudyTask task, ExampleEncoder encoder)
    {
        StudyMethod method = StudyMethod.All.First(one => one.Name == job.Method);
        using CausalLanguageModel model = CausalLanguageModel.Load(job.Model);
        double loaded = ProcessMemory.Private();
        using PeakMemory peak = new();
        using FineTuner tuner = FineTuner.Create(model, Examples(task.Train, encoder), null, Options(method, job.Plan with { Steps = job.Plan.TimedSteps + 2 }, method.Rates[0], 1, job.Threads));
        tuner.Step();
        tuner.Step();
        double[] seconds = [.. Enumerable.Range(0, job.Plan.TimedSteps).Select(_ => Series.Seconds(() => tuner.Step())).Order()];
        return new StudyAnswer { SecondsPerStep = seconds[seconds.Length / 2], PeakMegabytes = peak.Bytes / 1e6, LoadedMegabytes = loaded / 1e6, Trainable = tuner.TrainableParameters };
    }

    private static FineTuningOptions Options(StudyMethod method, StudyPlan plan, double rate, ulong seed, int threads) => new()
    {
        Lora = method.Lora is null ? null : method.Lora with { Seed = seed },
        Steps = plan.Steps,
        BatchRows = plan.BatchRows,
        Columns = plan.Columns,
        LearningRate = rate,
        EvaluateEvery = 0,
        Seed = seed,
        Threads = threads,
    };

    private static IEnumerable<TrainingExample> Examples(IReadOnlyList<StudyRow> rows, ExampleEncoder encoder) => rows.Select(row => encoder.Completion(row.Prompt, row.Completion));

    /// <summary>Rows as training has them: one in two thousand is longer than a packed row and is cut.</summary>
    private static IReadOnlyList<(int[] Ids, int First)> Documents(IReadOnlyList<StudyRow> rows, ExampleEncoder encoder, int columns) =>
        [.. Examples(rows, encoder).Select(example => example.Truncate(columns)).Select(example => (example.Ids, Array.IndexOf(example.Trainable, true)))];

    /// <summary>The next of 1, 3, 10, 30 …</summary>
    private static double Third(double rate, bool up)
    {
        bool isThree = Math.Abs((rate / Math.Pow(10, Math.Floor(Math.Log10(rate * 1.0001)))) - 3) < 0.1;
        double next = up ? rate * (isThree ? 10.0 / 3 : 3) : rate / (isThree ? 3 : 10.0 / 3);
        return double.Parse(next.ToString("G2", System.Globalization.CultureInfo.InvariantCulture), System.Globalization.CultureInfo.InvariantCulture);
    }
}
