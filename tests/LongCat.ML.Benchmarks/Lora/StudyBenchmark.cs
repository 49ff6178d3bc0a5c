using System.Collections.Concurrent;
using System.Diagnostics;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>
/// Full fine-tuning, LoRA and its relatives on two tasks of longcat-nano. The runs that count take one thread each and go in pairs, which two cores do faster than one run on two threads; times and memory are
/// another part (<see cref="Costs"/>).
/// </summary>
internal static class StudyBenchmark
{
    public static int Run(BenchmarkOptions options, string model, string temporary)
    {
        Stopwatch time = Stopwatch.StartNew();
        bool longer = options.Parts is ["lora-longer"];
        StudyPlan plan = options.Quick ? StudyPlan.Quick : longer ? StudyPlan.Longer : new StudyPlan();
        StudyMethod[] methods = [.. StudyMethod.All.Where(method => plan.Methods?.Contains(method.Name) ?? true)];
        (IReadOnlyList<StudyTask> tasks, Dictionary<string, string> paths, int changed, int missing) = Tasks(plan, model, temporary);
        (string Task, string Method)[] jobs = [.. tasks.Select(task => (task.Name, "")), .. methods.SelectMany(method => tasks.Select(task => (task.Name, method.Name)))];
        StudyAnswer[] answers = new StudyAnswer[jobs.Length];
        Parallel.ForEach(Partitioner.Create(Enumerable.Range(0, jobs.Length), EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, i =>
        {
            (string task, string method) = jobs[i];
            answers[i] = StudyChild.Start(new StudyJob(method.Length == 0 ? "base" : "runs", method, paths[task], model, Threads: 1, plan));
        });
        StudyReport report = new(
            options.Parts[0], MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", options.Quick, time.Elapsed.TotalSeconds, plan, changed, missing,
            [
                .. tasks.Select(task => new StudySection(
                    task.Name, task.About, task.Train.Count, task.Selection.Count, task.Test.Count, task.Labels().Count, task.MajorityShare(), Of(task.Name, ""),
                    [.. methods.Select(method => new StudyLine(method.Name, Of(task.Name, method.Name)))])),
            ]);
        Console.WriteLine(report.ToMarkdown());
        if (options.Save)
        {
            report.Save();
        }

        return 0;

        StudyAnswer Of(string task, string method) => answers[Array.IndexOf(jobs, (task, method))];
    }

    /// <summary>Time and memory of each method's steps, one process at a time on all cores: a part of its own, since it needs a quiet machine and the losses do not.</summary>
    public static IEnumerable<Figure> Costs(BenchmarkModels models, BenchmarkOptions options)
    {
        StudyPlan plan = options.Quick ? StudyPlan.Quick : new StudyPlan();
        string model = models.Nano.CheckpointFolder;
        (IReadOnlyList<StudyTask> tasks, Dictionary<string, string> paths, _, _) = Tasks(plan, model, models.Scratch("lora"));
        foreach (StudyTask task in tasks)
        {
            double lora = 0;
            foreach (StudyMethod method in StudyMethod.All.OrderByDescending(method => method.Name == "LoRA"))
            {
                StudyAnswer cost = StudyChild.Start(new StudyJob("cost", method.Name, paths[task.Name], model, Threads: Environment.ProcessorCount, plan));
                lora = method.Name == "LoRA" ? cost.SecondsPerStep : lora;
                yield return new Figure(
                    "lora-cost", $"{task.Name}, {method.Name}", Environment.ProcessorCount, "s/step", cost.SecondsPerStep, cost.SecondsPerStep, 0, plan.TimedSteps,
                    new Dictionary<string, double> { ["times LoRA"] = cost.SecondsPerStep / lora, ["peak MB"] = cost.PeakMegabytes, ["loaded MB"] = cost.LoadedMegabytes });
            }
        }
    }

    private static (IReadOnlyList<StudyTask> Tasks, Dictionary<string, string> Paths, int Changed, int Missing) Tasks(StudyPlan plan, string model, string temporary)
    {
        Directory.CreateDirectory(temporary);
        (IReadOnlyList<StudyTask> tasks, int changed, int missing) = StudyTask.Make(Path.Combine(model, "held-out.txt"), plan.TrainingRows, plan.HeldOutRows);
        Dictionary<string, string> paths = [];
        foreach (StudyTask task in tasks)
        {
            paths[task.Name] = Path.Combine(temporary, $"lora-{task.Name}.json");
            task.Save(paths[task.Name]);
        }

        return (tasks, paths, changed, missing);
    }
}
