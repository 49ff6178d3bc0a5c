using System.Collections.Concurrent;
using System.Diagnostics;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>
/// Full fine-tuning, LoRA and its relatives on two tasks of longcat-nano. The runs that count take one thread each and go in pairs, which two cores do faster than one run on two threads; times and memory are measured
/// afterwards, one process at a time.
/// </summary>
internal static class StudyBenchmark
{
    public static int Run(BenchmarkOptions options, string model, string temporary)
    {
        Stopwatch time = Stopwatch.StartNew();
        OtherLoad others = new();
        StudyPlan plan = options.Quick ? StudyPlan.Quick : new StudyPlan();
        Directory.CreateDirectory(temporary);
        (IReadOnlyList<StudyTask> tasks, int changed, int missing) = StudyTask.Make(Path.Combine(model, "held-out.txt"), plan.TrainingRows, plan.HeldOutRows);
        Dictionary<string, string> paths = [];
        foreach (StudyTask task in tasks)
        {
            paths[task.Name] = Path.Combine(temporary, $"lora-{task.Name}.json");
            task.Save(paths[task.Name]);
        }

        (string Task, string Method)[] jobs = [.. tasks.Select(task => (task.Name, "")), .. StudyMethod.All.SelectMany(method => tasks.Select(task => (task.Name, method.Name)))];
        StudyAnswer[] answers = new StudyAnswer[jobs.Length];
        Parallel.ForEach(Partitioner.Create(Enumerable.Range(0, jobs.Length), EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, i =>
        {
            (string task, string method) = jobs[i];
            answers[i] = StudyChild.Start(new StudyJob(method.Length == 0 ? "base" : "runs", method, paths[task], model, Threads: 1, plan));
        });
        Console.Error.WriteLine(FormattableString.Invariant($"  {time.Elapsed.TotalMinutes:F1} minutes for the runs; times and memory follow"));
        StudyAnswer[] costs = [.. jobs.Select(job => job.Method.Length == 0
            ? new StudyAnswer()
            : StudyChild.Start(new StudyJob("cost", job.Method, paths[job.Task], model, Threads: Environment.ProcessorCount, plan)))];
        StudyReport report = new(
            MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", options.Quick, time.Elapsed.TotalSeconds, others.Cores(), plan, changed, missing,
            [
                .. tasks.Select(task => new StudySection(
                    task.Name, task.About, task.Train.Count, task.Selection.Count, task.Test.Count, task.Labels().Count, task.MajorityShare(), Of(task.Name, "").Answer,
                    [.. StudyMethod.All.Select(method => (method.Name, Found: Of(task.Name, method.Name))).Select(line => new StudyLine(line.Name, line.Found.Answer, line.Found.Cost))])),
            ]);
        Console.WriteLine(report.ToMarkdown());
        return !options.Save || report.TrySave() ? 0 : 1;

        (StudyAnswer Answer, StudyAnswer Cost) Of(string task, string method)
        {
            int index = Array.IndexOf(jobs, (task, method));
            return (answers[index], costs[index]);
        }
    }
}
