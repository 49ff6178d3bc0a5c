using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// Ten lines, each with a key and a value, spread evenly over a context of held-out text; behind it a key is asked for, and the model's most likely of the ten values counts as its answer. All ten stand in the context
/// and each is right once, so a model that prefers one value, or knows only which there are, is right once in ten times.
/// </summary>
internal static class NeedleTest
{
    private static readonly string[] Keys = ["Amber", "Birch", "Cedar", "Delta", "Ember", "Falcon", "Garnet", "Hazel", "Indigo", "Jasper"];
    private static readonly string[] Values = ["table", "stream", "button", "socket", "thread", "queue", "color", "stack", "image", "clock"];

    /// <summary>Asks for every line of some contexts.</summary>
    /// <param name="engine">The model.</param>
    /// <param name="texts">Where the text between the lines is from.</param>
    /// <param name="context">Tokens of a context, the question and the longest answer included.</param>
    /// <param name="trials">Contexts, each with lines in another order and other text.</param>
    public static NeedleAnswers Run(InferenceEngine engine, LongTexts texts, int context, int trials)
    {
        List<NeedleAnswer> answers = [];
        for (int trial = 0; trial < trials; trial++)
        {
            Random random = new(trial);
            int[] keys = [.. Enumerable.Range(0, Keys.Length)], values = [.. Enumerable.Range(0, Values.Length)];
            random.Shuffle(keys);
            random.Shuffle(values);
            int[][] questions = [.. keys.Select(key => texts.Member(Question(Keys[key]))[..^1])], possible = [.. Values.Select(value => texts.Encode(" " + value))];
            int[] haystack = Haystack(texts, context - questions.Max(question => question.Length) - possible.Max(value => value.Length), trial,
                [.. keys.Select((key, slot) => texts.Member(Line(Keys[key], Values[values[slot]])))]);

            // The first question computes the context's pages, which all others find.
            for (int slot = 0; slot < keys.Length; slot++)
            {
                int[] prompt = [.. haystack, .. questions[slot]];
                Task<ScoreResult>[] scores = [.. possible.Take(slot == 0 ? 1 : 0).Select(Score)];
                Task.WaitAll(scores);
                scores = [.. possible.Select(Score)];
                Task.WaitAll(scores);
                double[] likely = [.. scores.Select(score => score.Result.LogLikelihood)];
                int right = values[slot];
                answers.Add(new NeedleAnswer(slot, Array.IndexOf(likely, likely.Max()) == right, likely[right] - likely.Where((_, i) => i != right).Average()));

                Task<ScoreResult> Score(int[] value) => engine.ScoreAsync(new ScoreRequest { PromptIds = prompt, ContinuationIds = value });
            }
        }

        return new NeedleAnswers(context, answers);
    }

    private static string Question(string key) => $"Marker.{key} property\nGets the";

    private static string Line(string key, string value) => $"{Question(key)} {value} of the marker.\nNamespace: Marker";

    private static int[] Haystack(LongTexts texts, int tokens, int trial, int[][] lines)
    {
        // Between lines whole members, from another place of the text in each trial.
        int next = trial * texts.HeldOut.Count / 7;
        List<int> ids = [];
        int free = tokens - lines.Sum(line => line.Length);
        for (int slot = 0; slot < lines.Length; slot++)
        {
            Fill((int)((slot + 0.5) * free / lines.Length) + lines.Take(slot).Sum(line => line.Length));
            ids.AddRange(lines[slot]);
        }

        Fill(tokens);
        return [.. ids];

        void Fill(int until)
        {
            for (int[] member; ids.Count + (member = texts.HeldOut[next % texts.HeldOut.Count]).Length <= until; next++)
            {
                ids.AddRange(member);
            }
        }
    }
}

/// <summary>One question.</summary>
/// <param name="Slot">Which of the ten lines was asked for, from the context's start.</param>
/// <param name="Right">Whether the most likely of the ten values was that line's.</param>
/// <param name="Margin">The right value's log-probability less the mean of the nine others', in nats.</param>
internal sealed record NeedleAnswer(int Slot, bool Right, double Margin);

/// <summary>All questions in contexts of one length.</summary>
internal sealed record NeedleAnswers(int Context, IReadOnlyList<NeedleAnswer> Answers)
{
    public int Asked => Answers.Count;

    public int Right => Answers.Count(answer => answer.Right);

    /// <summary>The mean margin and its standard error. Where only keys and values in general count, it is 0: each value is the right one once.</summary>
    public (double Mean, double Error) Margin(Func<NeedleAnswer, bool>? of = null)
    {
        double[] margins = [.. Answers.Where(of ?? (_ => true)).Select(answer => answer.Margin)];
        double mean = margins.Average();
        return (mean, Math.Sqrt(margins.Sum(margin => (margin - mean) * (margin - mean)) / Math.Max(1, margins.Length - 1) / margins.Length));
    }
}
