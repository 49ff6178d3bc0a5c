using System.Diagnostics;
using System.Text.Json;
using LongCat.ML.Training;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>What a child is to do.</summary>
internal sealed record ThinkingJob(int Seed, string Model, string Folder, int Threads, ThinkingPlan Plan);

/// <summary>A seed in a process of its own, on one thread: all run side by side, and what they find depends neither on the number of cores nor on load.</summary>
internal static class ThinkingChild
{
    public const string Verb = "heavy-thinking-child";

    /// <summary>Turns of the long chat whose pages are counted.</summary>
    private const int Turns = 24;

    /// <summary>Starts this program again.</summary>
    public static ThinkingAnswer Start(ThinkingJob job)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [typeof(ThinkingChild).Assembly.Location, Verb, JsonSerializer.Serialize(job)]) { RedirectStandardOutput = true })!;
        string printed = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? JsonSerializer.Deserialize<ThinkingAnswer>(printed)! : throw new InvalidOperationException($"seed {job.Seed} ended with exit code {process.ExitCode}");
    }

    public static int Run(string text)
    {
        ThinkingJob job = JsonSerializer.Deserialize<ThinkingJob>(text)!;
        ThinkingPlan plan = job.Plan;
        TorchRuntime.Configure(job.Threads);
        Stopwatch time = Stopwatch.StartNew();
        ThinkingTrainer trainer = new(plan, job.Seed, Directory.CreateDirectory(job.Folder).FullName, job.Threads);
        string exported = trainer.Run(job.Model);
        double training = time.Elapsed.TotalSeconds;
        time.Restart();
        List<ArithmeticQuestion> questions = ArithmeticQuestion.Make(plan.TestQuestions, plan.SumSteps, new Random(job.Seed + 1_000_000), trainer.Seen, unread: null);
        using LongCat.ML.Inference.Chat.LongCatChatClient client = ThinkingEvaluation.Open(exported, job.Threads);
        ThinkingEvaluation evaluation = new(client, plan, job.Seed);
        IReadOnlyList<ThinkingOutcome> outcomes = evaluation.RunAsync(questions).GetAwaiter().GetResult();
        SharedPages[] pages = job.Seed == plan.Seeds[0] ? [.. plan.Widths.Select(width => SharedPagesProbe.Measure(exported, width, Turns, plan, job.Threads))] : [];
        Console.WriteLine(JsonSerializer.Serialize(new ThinkingAnswer(
            job.Seed, trainer.AnswerLoss, trainer.SummaryLoss, trainer.CandidatesRight, training, time.Elapsed.TotalSeconds, evaluation.Unanswered, outcomes, pages)));
        return 0;
    }
}
