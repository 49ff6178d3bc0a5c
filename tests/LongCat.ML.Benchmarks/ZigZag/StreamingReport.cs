using System.Globalization;
using System.Text;
using LongCat.ML.Benchmarks.Quality;
using LongCat.ML.Training.Reports;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>One choice of attentions: what it loses at once and after fine-tuning.</summary>
internal sealed record StreamingLine(IReadOnlyList<int> Attentions, IReadOnlyList<string> Rules, ContextLosses Before, ContextLosses? After);

/// <summary>All choices with one pattern.</summary>
internal sealed record StreamingSection(int BlockSize, int SinkBlocks, int LocalBlocks, IReadOnlyList<AttentionAlpha> Alphas, IReadOnlyList<StreamingLine> Lines)
{
    public int Span => (SinkBlocks + LocalBlocks) * BlockSize;
}

/// <summary>A model's needles.</summary>
internal sealed record NeedleLine(string Name, IReadOnlyList<NeedleAnswers> Contexts);

/// <summary>The tables and the picture of a run.</summary>
internal sealed record StreamingReport(
    MachineFacts Machine, string Date, bool Quick, double Seconds, StreamingPlan Plan, int Changed, int Missing, ContextLosses Published, ContextLosses Extended, ContextLosses Full, ContextLosses FullTuned,
    IReadOnlyList<StreamingSection> Sections, IReadOnlyList<NeedleLine> Needles)
{
    private const string Name = "zigzag-longcat-nano";
    private static readonly string[] Thirds = ["first third", "middle", "last third"];

    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append("# What streaming attentions keep of longcat-nano\n\n    ./run bench --only zigzag-quality --save\n\n");
        text.Append(Text($"{Date}; {Machine.Cpu}, {Machine.Cores} cores, packages {Machine.Packages}, {Machine.Runtime}; {Seconds / 60:F0} minutes.\n\n"));
        text.Append(Text($"Text: {Plan.HeldOutTokens:N0} held-out tokens (documentation of members of types that no model here was trained on, one after another by type; {Changed} listed members are worded differently in this SDK, {Missing} are missing), "))
            .Append(Text($"cut into windows of {Contexts()} tokens. Every context predicts the same tokens. Windows run through the exported model in the engine, float32. "))
            .Append(Text($"Context: the published model's is 2,048 tokens, and it was trained on rows of 256 in which no document sees another. YaRN extends it to {Plan.Contexts[^1]:N0} (factor {Plan.Contexts[^1] / 2048.0:G4}). `full`: {Plan.ExtensionSteps} steps of all weights on rows of {Plan.Columns:N0} tokens of training text, then {Plan.LongSteps} on rows of {Plan.LongColumns:N0}; "))
            .Append(Text($"`tuned`: {Plan.TuningSteps} steps more on rows of {Plan.Columns:N0}, the same ones in the same order for each model (learning rates {Plan.ExtensionRate:G2}, {Plan.TuningRate:G2} and {Plan.TuningRate:G2}, AdamW, one row a step). Nothing was trained on longer rows. "))
            .Append(Text($"`±`: standard error of the mean difference in loss (nats per token) to `full` (to `full, tuned` where tuned) over {Full.Segments[0].Count} pieces of {Plan.Contexts[0]:N0} tokens; above 0 is worse. A difference below two of them is none.\n"));
        if (Quick)
        {
            text.Append("\nA quick run over short texts: it shows that everything works.\n");
        }

        text.Append(Text($"\n## Full attention\n\nPerplexity per token.\n\n| | {Contexts(" | ")} |\n|---|{Columns()}\n"));
        foreach (ContextLosses losses in (ContextLosses[])[Published with { Name = "as published, no YaRN" }, Extended with { Name = "with YaRN, not trained" }, Full with { Name = "full" }, FullTuned with { Name = "full, tuned" }])
        {
            text.Append(Text($"| {losses.Name} | {string.Join(" | ", Enumerable.Range(0, Plan.Contexts.Count).Select(i => losses.Segments[i].Count > 0 ? Text($"{losses.Perplexity[i]:F3}") : losses.Name.StartsWith("as published", StringComparison.Ordinal) ? "beyond it" : "not measured"))} |\n"));
        }

        foreach (StreamingSection section in Sections)
        {
            Section(text, section);
        }

        NeedleTable(text);
        return text.ToString();
    }

    /// <summary>Perplexity over the context.</summary>
    public string Picture()
    {
        SvgChart chart = new("longcat-nano, held-out text: two of four attentions streaming", "context, thousands of tokens", "perplexity");
        Add("full", "#1f77b4", Full);
        Add("full, tuned", "#9ecae1", FullTuned);
        string[] colours = ["#d62728", "#2ca02c"];
        for (int i = 0; i < Sections.Count; i++)
        {
            StreamingLine lowest = Sections[i].Lines[0];
            Add($"by α, span {Sections[i].Span}", colours[i % colours.Length], lowest.Before);
            if (lowest.After is not null)
            {
                Add($"by α, span {Sections[i].Span}, tuned", "#ff9896", lowest.After);
            }
        }

        return chart.ToString();

        void Add(string name, string colour, ContextLosses losses) =>
            chart.Add(new ChartSeries(name, colour, [.. losses.Perplexity.Select((perplexity, i) => (Plan.Contexts[i] / 1000.0, perplexity ?? double.NaN))]) { Marked = true });
    }

    /// <summary>Writes the results of longcat-nano; the figures depend on no load.</summary>
    public void Save()
    {
        QualityReport.Save(Name, this, ToMarkdown() + $"\n![perplexity over the context]({Name}.svg)\n");
        File.WriteAllText(Path.Combine(BenchmarkModels.Root, "tests", "LongCat.ML.Benchmarks", "results", Name + ".svg"), Picture());
    }

    private void Section(StringBuilder text, StreamingSection section)
    {
        text.Append(Text($"\n## Blocks of {section.BlockSize}, {section.SinkBlocks} sink, {section.LocalBlocks} local: a query sees at most {section.Span:N0} tokens\n\n"));
        text.Append(Text($"α after {Plan.CalibrationSteps} steps from ½: {string.Join(", ", section.Alphas.Select(entry => Text($"{entry.Alpha:F3} (attention {entry.Attention}, {entry.Module})")))}.\n\n"));
        Table(text, section, "At once", line => line.Before, Full);
        if (section.Lines[0].After is not null)
        {
            Table(text, section, "Tuned", line => line.After!, FullTuned);
        }
    }

    private void Table(StringBuilder text, StreamingSection section, string title, Func<StreamingLine, ContextLosses> of, ContextLosses full)
    {
        text.Append(Text($"{title}: perplexity, and the loss against {(ReferenceEquals(full, Full) ? "`full`" : "`full, tuned`")}.\n\n| streaming | chosen by | {Contexts(" | ")} |\n|---|---|{Columns()}\n"));
        int[] all = [.. Enumerable.Range(0, Plan.Contexts.Count)], compared = [.. all.Where(i => section.Lines.All(line => of(line).Segments[i].Count > 0))];
        foreach (StreamingLine line in section.Lines)
        {
            text.Append(Text($"| {string.Join(", ", line.Attentions)} | {string.Join("; ", line.Rules)} | {string.Join(" | ", all.Select(i => Cell(of(line), i, full)))} |\n"));
        }

        text.Append(Text($"| mean of all {section.Lines.Count} | a random choice's expectation | {string.Join(" | ", all.Select(i => !compared.Contains(i) ? "" : Text($"{Signed(section.Lines.Average(line => of(line).Against(full, i).Mean), 4)}")))} |\n"));
        text.Append(Text($"| rank of α's choice | | {string.Join(" | ", all.Select(i => !compared.Contains(i) ? "" : Text($"{1 + section.Lines.Count(line => of(line).Against(full, i).Mean < of(section.Lines[0]).Against(full, i).Mean)} of {section.Lines.Count}")))} |\n\n"));

        static string Cell(ContextLosses losses, int context, ContextLosses full)
        {
            if (losses.Segments[context].Count == 0)
            {
                return "not measured";
            }

            (double mean, double error) = losses.Against(full, context);
            return Text($"{losses.Perplexity[context]:F3} ({Signed(mean, 4)} ± {error:F4})");
        }
    }

    private void NeedleTable(StringBuilder text)
    {
        text.Append("\n## Needles\n\nTen lines (`Marker.Amber property / Gets the table of the marker.`) spread evenly over a context of held-out text; behind it the beginning of one of them, and the most likely of the ten values is the answer. ")
            .Append("All ten values stand in the context and each is right once: guessing, or always the same value, is right for **10 %** (chance). `margin`: log-probability of the right value less the mean of the nine wrong ones, in nats ± standard error; 0 where the model does not connect a key with its value. ")
            .Append("No model was trained on such lines.\n\n| model | context | right | margin |").Append(string.Concat(Thirds.Select(third => $" {third} |"))).Append("\n|---|--:|--:|--:|--:|--:|--:|\n");
        foreach (NeedleLine line in Needles)
        {
            foreach (NeedleAnswers answers in line.Contexts)
            {
                (double mean, double error) = answers.Margin();
                text.Append(Text($"| {line.Name} | {answers.Context:N0} | {answers.Right} of {answers.Asked} | {Signed(mean, 2)} ± {error:F2} |"));
                text.Append(string.Concat(Enumerable.Range(0, Thirds.Length).Select(third =>
                {
                    NeedleAnswer[] there = [.. answers.Answers.Where(answer => (answer.Slot < 3 ? 0 : answer.Slot < 7 ? 1 : 2) == third)];
                    return Text($" {there.Count(answer => answer.Right)} of {there.Length}, {Signed(there.Average(answer => answer.Margin), 2)} |");
                }))).Append('\n');
            }
        }
    }

    private string Contexts(string separator = ", ") => string.Join(separator, Plan.Contexts.Select(context => Text($"{context:N0}")));

    private string Columns() => string.Concat(Plan.Contexts.Select(_ => "--:|"));

    /// <summary>With its sign, but for a value that rounds to zero: a format with two parts writes such a negative one as -+0.</summary>
    private static string Signed(double value, int digits) => Math.Round(value, digits) is var rounded && rounded == 0 ? Text($"{0.ToString("F" + digits, CultureInfo.InvariantCulture)}") : (rounded > 0 ? "+" : "") + rounded.ToString("F" + digits, CultureInfo.InvariantCulture);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
