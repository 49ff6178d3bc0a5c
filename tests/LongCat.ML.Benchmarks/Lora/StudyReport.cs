using System.Globalization;
using System.Text;

namespace LongCat.ML.Benchmarks.Lora;

/// <summary>A method on a task.</summary>
internal sealed record StudyLine(string Method, StudyAnswer Runs);

/// <summary>A task and its lines.</summary>
internal sealed record StudySection(string Name, string About, int Train, int Selection, int Test, int Labels, double Majority, StudyAnswer Base, IReadOnlyList<StudyLine> Lines);

/// <summary>The tables of a run.</summary>
internal sealed record StudyReport(
    string Part, MachineFacts Machine, string Date, bool Quick, double Seconds, StudyPlan Plan, int Changed, int Missing, IReadOnlyList<StudySection> Sections)
{
    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append(Text($"# Fine-tuning longcat-nano: {(Plan.Methods is null ? "full, LoRA, AFA-LoRA, rsLoRA, DoRA, PiSSA" : Text($"LoRA and AFA-LoRA, {Plan.Steps} steps"))}\n\n    ./run bench --only {Part} --save\n\n"));
        text.Append(Text($"{Date}; {Machine.Cpu}, {Machine.Cores} cores, packages {Machine.Packages}, {Machine.Runtime}; {Seconds / 60:F0} minutes.\n"));
        text.Append(Text($"{Plan.Seeds.Count} seeds (adapter and data order); {Plan.Steps} steps of {Plan.BatchRows} × {Plan.Columns} packed tokens, loss on completions, AdamW, 3 % warm-up, cosine, no dropout, rank 8, alpha 16, "))
            .Append("attention and dense projections of both sublayers. ")
            .Append(Plan.Rate is { } given
                ? Text($"Learning rate {given:G2}. ")
                : Text($"Learning rates: the best of a grid on rows of other held-out types with a seed of its own ({Plan.GridSeed}); a grid whose best rate is an end grows by up to {Plan.Extensions} rates. "))
            .Append(Text($"Rows are divided by declaring type: test and selection rows are of types that longcat-nano never saw ({Changed} listed members are worded differently in this SDK, {Missing} are missing).\n\n"))
            .Append("Loss: cross-entropy of a completion's token, in nats, mean ± standard deviation over seeds. `against LoRA`: the mean of the differences with the same seed ± their standard error; below 0 is better. ")
            .Append("`tokens`: tokens of completions that the model names first; `rows`: completions that greedy decoding writes exactly. Losses and accuracies depend on no load; times and memory: `./run bench --only lora-cost`.\n");
        if (Quick)
        {
            text.Append("\nA quick run over few rows: it shows that everything works.\n");
        }

        foreach (StudySection section in Sections)
        {
            text.Append(Text($"\n## {section.Name}\n\n{section.About}. {section.Train} training rows, {section.Selection} to choose rates, {section.Test} test rows.\n"));
            text.Append(Text($"Untouched model: loss {section.Base.Base!.Loss:F3}, tokens {section.Base.Base.TokenAccuracy:P1}, rows {section.Base.Base.ExactAccuracy:P1}"));
            text.Append(section.Base.BaseChoice is { } choice ? Text($"; the most likely of {section.Labels} labels is right for {choice:P1}") : "");
            text.Append(Text($". Always the most frequent completion of the training rows: rows {section.Majority:P1}.\n\n"));
            text.Append("| method | rate | loss | against LoRA | tokens | rows | trained |\n|---|--:|--:|--:|--:|--:|--:|\n");
            StudyLine? lora = section.Lines.FirstOrDefault(line => line.Method == "LoRA");
            foreach (StudyLine line in section.Lines)
            {
                (double loss, double spread) = MeanAndSpread(line.Runs.Runs.Select(run => run.Test.Loss));
                (double rows, double rowsSpread) = MeanAndSpread(line.Runs.Runs.Select(run => run.Test.ExactAccuracy));
                text.Append(Text($"| {line.Method} | {line.Runs.Rate:G2} | {loss:F4} ± {spread:F4} | {Against(line, lora)} | {line.Runs.Runs.Average(run => run.Test.TokenAccuracy):P1} | {rows:P1} ± {100 * rowsSpread:F1} "))
                    .Append(Text($"| {line.Runs.Trainable:N0} |\n"));
            }

            if (Plan.Rate is null)
            {
                text.Append("\nLearning rates tried, with the loss on the selection rows:\n\n| method | rates |\n|---|---|\n");
                foreach (StudyLine line in section.Lines)
                {
                    text.Append(Text($"| {line.Method} | {string.Join("; ", line.Runs.Rates.Select(rate => Text($"{rate.Rate:G2}: {(double.IsFinite(rate.Loss) ? Text($"{rate.Loss:F4}") : "failed")}")))} |\n"));
                }
            }

            text.Append("\nMean training loss of each tenth of the steps, over seeds:\n\n| method | ").Append(string.Join(" | ", Enumerable.Range(1, section.Lines[0].Runs.Runs[0].Curve.Count)));
            text.Append(" |\n|---|").Append(string.Concat(section.Lines[0].Runs.Runs[0].Curve.Select(_ => "--:|"))).Append('\n');
            foreach (StudyLine line in section.Lines)
            {
                text.Append(Text($"| {line.Method} | {string.Join(" | ", Enumerable.Range(0, line.Runs.Runs[0].Curve.Count).Select(i => Text($"{line.Runs.Runs.Average(run => run.Curve[i]):F3}")))} |\n"));
            }
        }

        return text.ToString();
    }

    /// <summary>Writes the results of longcat-nano.</summary>
    public void Save()
    {
        string path = Path.Combine(BenchmarkModels.Root, "tests", "LongCat.ML.Benchmarks", "results", $"{Part}-longcat-nano");
        File.WriteAllText(path + ".md", ToMarkdown());
        Console.Error.WriteLine($"saved {Path.GetFileName(path)}.md");
    }

    private static string Against(StudyLine line, StudyLine? lora)
    {
        if (lora is null || line.Method == lora.Method)
        {
            return "";
        }

        double[] differences = [.. line.Runs.Runs.Zip(lora.Runs.Runs, (one, other) => one.Test.Loss - other.Test.Loss)];
        (double mean, double spread) = MeanAndSpread(differences);
        return Text($"{mean:+0.0000;-0.0000} ± {spread / Math.Sqrt(differences.Length):F4}");
    }

    private static (double Mean, double Spread) MeanAndSpread(IEnumerable<double> values)
    {
        double[] all = [.. values];
        double mean = all.Average();
        return (mean, all.Length < 2 ? 0 : Math.Sqrt(all.Sum(value => (value - mean) * (value - mean)) / (all.Length - 1)));
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
