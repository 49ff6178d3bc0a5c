using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Chat;
using LongCat.ML.Onnx;
using LongCat.ML.Training.FineTuning;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>
/// longcat-nano learns to answer, then also to summarize candidates: answers to questions new to it that it drew itself after the first steps, at the temperature of heavy thinking, with its own mistakes.
/// </summary>
internal sealed class ThinkingTrainer(ThinkingPlan plan, int seed, string folder, int threads)
{
    private readonly Random random = new(seed);
    private readonly UnreadFacts unread = new(plan.UnreadFacts, new Random(seed + 2_000_000));

    /// <summary>All questions that the model has read.</summary>
    public HashSet<string> Seen { get; } = new(StringComparer.Ordinal);

    public double AnswerLoss { get; private set; }

    public double SummaryLoss { get; private set; }

    public double CandidatesRight { get; private set; }

    /// <summary>Trains.</summary>
    /// <returns>The exported model.</returns>
    public string Run(string checkpoint)
    {
        string chat = WithTemplate(checkpoint);
        ExampleEncoder encoder = ExampleEncoder.Load(chat);
        List<ArithmeticQuestion> questions = ArithmeticQuestion.Make(plan.TrainingQuestions, plan.SumSteps, random, Seen, unread);
        TrainingExample[] answers = [.. questions.Select(question => Example(encoder, question.Text, question))];
        string first = Path.Combine(folder, "answers");
        AnswerLoss = Train(chat, first, answers, plan.AnswerSteps, plan.Rate);

        string drawing = Path.Combine(folder, "answers-onnx");
        OnnxExporter.Export(first, drawing, new ExportOptions { IncludeDraft = false });
        List<TrainingExample> both = [.. Summaries(encoder, drawing, [.. ArithmeticQuestion.Make(plan.SummaryQuestions, plan.SumSteps, random, Seen, unread)]).GetAwaiter().GetResult()];
        both.AddRange(answers.Take(both.Count));
        string second = Path.Combine(folder, "summaries");
        SummaryLoss = Train(first, second, both, plan.SummarySteps, plan.SummaryRate);
        string exported = Path.Combine(folder, "onnx");
        OnnxExporter.Export(second, exported, new ExportOptions { IncludeDraft = false });
        return exported;
    }

    private double Train(string from, string to, IReadOnlyList<TrainingExample> examples, int steps, double rate)
    {
        using FineTuner tuner = FineTuner.Create(from, examples, null, new FineTuningOptions
        {
            Lora = null,
            Steps = steps,
            BatchRows = plan.BatchRows,
            Columns = plan.Columns,
            LearningRate = rate,
            EvaluateEvery = 0,
            Seed = (ulong)seed,
            Threads = threads,
        });
        List<double> losses = [];
        for (int step = 0; step < steps; step++)
        {
            losses.Add(tuner.Step().Loss);
            if (step % 100 == 99)
            {
                Console.Error.WriteLine(FormattableString.Invariant($"    seed {seed}, step {step + 1} of {steps}: loss {losses.TakeLast(100).Average():F4}"));
            }
        }

        tuner.Save(to, overwrite: true);
        return losses.TakeLast(Math.Max(1, steps / 10)).Average();
    }

    /// <summary>Rows of both forms of a summary, over as many candidates as heavy thinking will have, chosen and ordered at random.</summary>
    private async Task<List<TrainingExample>> Summaries(ExampleEncoder encoder, string exported, ArithmeticQuestion[] questions)
    {
        using LongCatChatClient client = ThinkingEvaluation.Open(exported, threads);
        int most = plan.Widths.Max();
        string[][] candidates = await Task.WhenAll(questions.Select(async (question, index) =>
        {
            ChatResponse[] drawn = await Task.WhenAll(Enumerable.Range(0, most).Select(i => client.GetResponseAsync(question.Text, new ChatOptions { Temperature = 1, Seed = (((long)seed << 32) + index) * most + i }))).ConfigureAwait(false);
            return drawn.Select(response => response.Text.Trim()).ToArray();
        })).ConfigureAwait(false);
        CandidatesRight = candidates.Zip(questions, (drawn, question) => drawn.Average(answer => ArithmeticQuestion.ResultOf(answer) == question.Result ? 1.0 : 0)).Average();
        Console.Error.WriteLine(FormattableString.Invariant($"    seed {seed}: {CandidatesRight:P1} of the candidates are right"));
        List<TrainingExample> examples = [];
        for (int i = 0; i < questions.Length; i++)
        {
            for (int summary = 0; summary < plan.SummariesPerQuestion; summary++)
            {
                random.Shuffle(candidates[i]);
                string[] chosen = [.. candidates[i].Where(answer => answer.Length > 0).Take(plan.Widths[random.Next(plan.Widths.Count)])];
                Func<string, IReadOnlyList<string>, string> prompt = summary % 2 == 0 ? ArithmeticQuestion.SummaryOfAnswers : ArithmeticQuestion.SummaryOfResults;
                examples.Add(Example(encoder, prompt(questions[i].Text, chosen), questions[i]));
            }
        }

        return examples;
    }

    private static TrainingExample Example(ExampleEncoder encoder, string prompt, ArithmeticQuestion question) =>
        encoder.Chat([new Checkpoints.ChatMessage("user", prompt), new Checkpoints.ChatMessage("assistant", question.Answer)])[0];

    private string WithTemplate(string checkpoint)
    {
        string chat = Directory.CreateDirectory(Path.Combine(folder, "chat")).FullName;
        foreach (string file in Directory.GetFiles(checkpoint).Where(file => Path.GetFileName(file) is "config.json" or "model.safetensors" or "tokenizer.json" or "tokenizer_config.json"))
        {
            File.Copy(file, Path.Combine(chat, Path.GetFileName(file)), overwrite: true);
        }

        File.WriteAllText(Path.Combine(chat, "chat_template.jinja"), ArithmeticQuestion.Template);
        return chat;
    }
}
