using System.Globalization;
using System.Text;
using System.Text.Json;
using LongCat.ML.Training.Reports;

namespace LongCat.ML.Benchmarks.HeavyThinking;

/// <summary>The tables, the picture and what they say.</summary>
internal sealed class ThinkingReport(MachineFacts machine, string date, bool quick, double seconds, ThinkingPlan plan, IReadOnlyList<ThinkingAnswer> answers)
{
    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private readonly IReadOnlyList<ThinkingLine> lines = [.. answers[0].Outcomes.Select(outcome => Line(outcome, answers, plan))];

    public string ToMarkdown()
    {
        ArithmeticQuestion example = ArithmeticQuestion.Make(1, plan.SumSteps, new Random(5), new HashSet<string>(), unread: null)[0];
        StringBuilder text = new();
        text.Append("# Heavy thinking and voting on small sums\n\n    ./run bench --only heavy-thinking --save\n\n");
        text.Append(Text($"{date}; {machine.Cpu}, {machine.Cores} cores, packages {machine.Packages}, {machine.Runtime}; {seconds / 60:F0} minutes. Nothing but the time depends on load.\n"));
        text.Append(quick ? "\nA quick run: it shows that everything works, the models have learned nothing.\n" : "");
        text.Append(Text($"\n{plan.Seeds.Count} seeds, each a model of its own: longcat-nano, all weights trained for {plan.AnswerSteps} steps of {plan.BatchRows} × {plan.Columns} tokens on sums of {plan.SumSteps + 1} numbers, "))
            .Append(Text($"then {plan.SummarySteps} steps on these and, as often, on summaries. The last digits on the way of a sum are asked for as `{example.Text}`; the model answers `{example.Answer}`, of which the last digit counts. "))
            .Append("It may take every step as it stands or the other way round (`-3` or `+7`; what it reads in training is drawn), so there are many ways to a result. ")
            .Append(Text($"{plan.UnreadFacts} of the 180 facts (a digit, a sign, a number; others for each seed, never both ways of a step) are in no training example, nor in any that summaries learn from: what a model has not read it guesses, and other ways lead past it. Replies have no thoughts beside the working. "))
            .Append("A summary reads the candidates' answers and the question behind one another and learns the same answer; its candidates are answers that the model itself drew after the first steps to questions new to it, ")
            .Append(Text($"with its own mistakes ({Percent(answers.Average(answer => answer.CandidatesRight))} of them right). In half of these rows it reads the candidates' results alone. "))
            .Append(Text($"Mean loss of the last tenth of the steps: {answers.Average(answer => answer.AnswerLoss):F3}, then {answers.Average(answer => answer.SummaryLoss):F3}. Nothing of this plan was chosen on these seeds or their test questions; what was tried before had another seed and its own questions.\n\n"));
        text.Append(Text($"{plan.TestQuestions} test questions of each seed, none of which is a training question. Trajectories are drawn at temperature 1 and top-p 1, the last summary takes the likeliest tokens. "))
            .Append("Voting and heavy thinking have the same seeds, so the first n answers of the one are the trajectories of the other (checked at every question). `written` and `read` are tokens of replies and of prompts for one question, ")
            .Append("summaries included; prompts are counted as if nothing were shared. 95 %: Wilson's interval over the questions of all seeds. The last three columns are mean differences on the same questions, in points, with half of their 95 % intervals: ")
            .Append("against the vote of as many calls, against the vote of heavy thinking's own trajectories, and against the likeliest answer, which is one call.\n\n");
        text.Append("| way | calls | written | read | right | 95 % | by seed | against the vote of as many calls | of its own trajectories | against the likeliest |\n|---|--:|--:|--:|--:|---|---|--:|--:|--:|\n");
        foreach (ThinkingLine line in lines.Where(line => !line.Way.StartsWith("self", StringComparison.Ordinal) || plan.Widths.Contains(line.Calls) || plan.Widths.Any(width => line.Calls == width + 1 || line.Calls == (width * plan.Rounds) + 1)))
        {
            text.Append(Text($"| {line.Way} | {line.Calls} | {line.Written:F0} | {line.Read:F0} | {Percent(line.Right)} | {Percent(line.Low)} to {Percent(line.High)} | {string.Join(", ", line.BySeed.Select(Percent))} | {Difference(line.AgainstVote)} | {Difference(line.AgainstOwnVote)} | {Difference(line.AgainstLikeliest)} |\n"));
        }

        text.Append("\n## What it says\n\n").Append(Findings()).Append("\n## The common beginning of trajectories\n\n").Append(Pages());
        return text.ToString();
    }

    /// <summary>Writes the three files.</summary>
    public void Save()
    {
        string path = Path.Combine(BenchmarkModels.Root, "tests", "LongCat.ML.Benchmarks", "results", "heavy-thinking-longcat-nano");
        File.WriteAllText(path + ".md", ToMarkdown().Replace("\n## What it says", "\n![accuracy against tokens](heavy-thinking-longcat-nano.svg)\n\n## What it says", StringComparison.Ordinal));
        File.WriteAllText(path + ".json", JsonSerializer.Serialize(new { Machine = machine, Date = date, Seconds = seconds, Plan = plan, Seeds = answers.Select(answer => new { answer.Seed, answer.AnswerLoss, answer.SummaryLoss, answer.CandidatesRight, answer.TrainingSeconds, answer.TestSeconds }), Lines = lines, answers[0].Pages }, s_json) + "\n");
        File.WriteAllText(path + ".svg", Picture());
        Console.Error.WriteLine($"saved {Path.GetFileName(path)}.md, .json and .svg");
    }

    private string Picture()
    {
        return new SvgChart("sums of small numbers: right answers against tokens written for a question", "tokens written", "right, %")
            .Add(new ChartSeries("self-consistency", "#7f7f7f", Points(line => line.Way == ThinkingEvaluation.Drawn || line.Way.StartsWith("self", StringComparison.Ordinal))) { Marked = true })
            .Add(new ChartSeries("heavy thinking, 1 round", "#d62728", Points(line => IsHeavy(line, ThinkingEvaluation.Working, 1))) { Marked = true })
            .Add(new ChartSeries("heavy thinking, 2 rounds", "#1f77b4", Points(line => IsHeavy(line, ThinkingEvaluation.Working, 2))) { Marked = true })
            .Add(new ChartSeries("summaries of results alone", "#2ca02c", Points(line => IsHeavy(line, ThinkingEvaluation.Results, 1))) { Marked = true })
            .Add(new ChartSeries("single, likeliest", "#9467bd", Points(line => line.Way == ThinkingEvaluation.Single)) { Marked = true })
            .ToString();

        (double X, double Y)[] Points(Func<ThinkingLine, bool> chosen) => [.. lines.Where(chosen).Select(line => (line.Written, 100 * line.Right)).OrderBy(point => point.Written)];
    }

    /// <summary>Sentences that follow from the intervals, whichever way they fall.</summary>
    private string Findings()
    {
        StringBuilder text = new();
        foreach ((string way, int rounds) in new[] { (ThinkingEvaluation.Working, 1), (ThinkingEvaluation.Working, 2), (ThinkingEvaluation.Results, 1) })
        {
            ThinkingLine[] heavy = [.. lines.Where(line => IsHeavy(line, way, rounds))];
            text.Append(Text($"* {(way == ThinkingEvaluation.Results ? "Summaries that read the candidates' results alone" : Text($"Heavy thinking of {rounds} round{(rounds == 1 ? "" : "s")}"))}, against a vote of as many calls: {string.Join("; ", heavy.Select(line => Text($"{line.Calls} calls {Difference(line.AgainstVote)}, {Word(line.AgainstVote!)}")))}. "))
                .Append(Text($"Against the vote of the same trajectories, which is one summary{(rounds == 1 ? "" : " and a round")} cheaper: {string.Join("; ", heavy.Select(line => Text($"{Difference(line.AgainstOwnVote)}, {Word(line.AgainstOwnVote!)}")))}. "))
                .Append(Text($"Against the likeliest answer of one call: {string.Join("; ", heavy.Select(line => Text($"{Difference(line.AgainstLikeliest)}, {Word(line.AgainstLikeliest!)}")))}.\n"));
        }

        ThinkingLine single = lines.First(line => line.Way == ThinkingEvaluation.Single), best = Best("heavy"), vote = Best("self");
        text.Append(Text($"* The likeliest answer alone is right for {Percent(single.Right)} with {single.Written:F0} tokens; the best vote ({vote.Way}) for {Percent(vote.Right)} with {vote.Written:F0}, {Difference(vote.AgainstLikeliest)} against it, {Word(vote.AgainstLikeliest!)}; "))
            .Append(Text($"the best heavy thinking ({best.Way}) for {Percent(best.Right)} with {best.Written:F0}. The best of several lines flatters itself a little.\n"));
        if (!lines.Any(line => line.Way.StartsWith("heavy", StringComparison.Ordinal) && line.AgainstLikeliest!.Sign > 0) && lines.Any(line => line.AgainstVote?.Sign > 0))
        {
            text.Append("* No heavy thinking shows to be better than the likeliest answer of one call. What it gains against votes is then explained by its last call, which is not drawn; that summaries draw more from their candidates than a model finds alone is not shown.\n");
        }

        text.Append(answers.Sum(answer => answer.Unanswered) is var unanswered and > 0 ? Text($"* {unanswered} replies of heavy thinking came to no answer: counted as wrong, with the tokens of their first trajectories.\n") : "");
        text.Append("* A model of eight million parameters and one kind of question: the figures show what the client does and costs, not what a large model gains.\n");
        return text.ToString();

        // Of equally good ones the cheapest.
        ThinkingLine Best(string way) => lines.Where(line => line.Way.StartsWith(way, StringComparison.Ordinal)).OrderByDescending(line => line.Right).ThenBy(line => line.Written).First();
    }

    private string Pages()
    {
        StringBuilder text = new();
        text.Append("A question behind a chat of solved ones (seed 1). `apart`: as many replies to chats that differ from their first tokens on. Pages: the most in use at once, the replies' own included; computed: prompt tokens that went through the model, with the summary's for heavy thinking.\n\n");
        text.Append("| trajectories | prompt tokens | tokens of a page | pages, heavy thinking | pages, apart | computed, heavy thinking | computed, apart |\n|--:|--:|--:|--:|--:|--:|--:|\n");
        foreach (SharedPages pages in answers[0].Pages)
        {
            text.Append(Text($"| {pages.Width} | {pages.PromptTokens} | {pages.PageTokens} | {pages.Shared} | {pages.Apart} | {pages.SharedComputed} | {pages.ApartComputed} |\n"));
        }

        return text.ToString();
    }

    private static ThinkingLine Line(ThinkingOutcome first, IReadOnlyList<ThinkingAnswer> answers, ThinkingPlan plan)
    {
        ThinkingLine line = ThinkingLine.Of(All(first.Way));
        line = first.Way == ThinkingEvaluation.Single ? line : line with { AgainstLikeliest = Against(ThinkingEvaluation.Single) };
        if (!first.Way.StartsWith("heavy", StringComparison.Ordinal))
        {
            return line;
        }

        int width = plan.Widths.First(one => first.Way.Contains($"@{one},", StringComparison.Ordinal));
        return line with { AgainstVote = Against(ThinkingEvaluation.Vote(first.Calls)), AgainstOwnVote = Against(ThinkingEvaluation.Vote(width)) };

        ThinkingOutcome[] All(string way) => [.. answers.Select(answer => answer.Outcomes.First(outcome => outcome.Way == way))];

        PairedDifference Against(string other) => PairedDifference.Of([.. All(first.Way).SelectMany(outcome => outcome.Right)], [.. All(other).SelectMany(outcome => outcome.Right)]);
    }

    private static bool IsHeavy(ThinkingLine line, string way, int rounds) =>
        line.Way.StartsWith(way + " @", StringComparison.Ordinal) && line.Way.EndsWith(Text($", {rounds} round{(rounds == 1 ? "" : "s")}"), StringComparison.Ordinal);

    private static string Word(PairedDifference difference) => difference.Sign switch { > 0 => "better", < 0 => "worse", _ => "no difference shown" };

    private static string Difference(PairedDifference? difference) => difference is null ? "" : Text($"{difference.Points:+0.0;-0.0;0.0} ± {difference.HalfWidth:F1}");

    private static string Percent(double share) => Text($"{100 * share:F1} %");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
