using System.Collections.Concurrent;
using System.Diagnostics;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>
/// Accuracy against tokens: one answer, votes of several, and heavy thinking, by models that longcat-nano became on small sums. Nothing depends on load: a busy machine may save it.
/// </summary>
internal static class HeavyThinkingBenchmark
{
    public static int Run(BenchmarkOptions options, string model, string temporary)
    {
        Stopwatch time = Stopwatch.StartNew();
        ThinkingPlan plan = options.Quick ? ThinkingPlan.Quick : new ThinkingPlan();
        ThinkingAnswer[] answers = new ThinkingAnswer[plan.Seeds.Count];
        Parallel.ForEach(Partitioner.Create(Enumerable.Range(0, answers.Length), EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = answers.Length }, i =>
            answers[i] = ThinkingChild.Start(new ThinkingJob(plan.Seeds[i], model, Path.Combine(temporary, $"seed-{plan.Seeds[i]}"), Threads: 1, plan)));
        ThinkingReport report = new(MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", options.Quick, time.Elapsed.TotalSeconds, plan, answers);
        Console.WriteLine(report.ToMarkdown());
        if (options.Save)
        {
            report.Save();
        }

        return 0;
    }
}
