using System.Globalization;
using System.Text;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>The tables over the golden fixtures.</summary>
internal sealed record FixtureReport(MachineFacts Machine, string Date, int CalibrationTokens, IReadOnlyList<FixtureResult> Fixtures)
{
    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append("# What 4-bit weights and 8-bit activations keep of the golden fixtures\n\n    ./run bench --only quality-fixtures --save\n\n");
        text.Append(Text($"{Date}; kernels {Machine.KernelPath}, packages {Machine.Packages}, ONNX Runtime {Machine.OnnxRuntime}, {Machine.Runtime}. {Fixtures.Count} models of random weights, {Fixtures.Sum(fixture => fixture.Positions)} positions: "))
            .Append("each fixture's own prompts with their greedy continuations, and 16 rows of 64 random tokens. ")
            .Append(Text($"Calibration: {CalibrationTokens} random tokens of another seed. float32 is within {Fixtures.Max(fixture => fixture.GoldenDifference):0.0e-0} of the golden logits.\n\n"))
            .Append("Agreement: share of positions with float32's most likely token. KL: mean of KL(float32 ‖ model), in nats. Logit error: √(Σ (model − float32)² / Σ float32²). Means over the fixtures, each with the same weight. ")
            .Append("No perplexity: random weights have learned no text, and rounding them may lower it as well as raise it. No matrix has more than 96 inputs: groups of 128 (the default) are whole rows. Random weights leave the largest logits close together, so that fewer positions agree than in a trained model with the same KL.\n");
        foreach ((int at, string title) in Fixtures[0].Sections.Select((section, i) => (i, section.Title)))
        {
            text.Append(Text($"\n## {title}\n\n| | agreement | KL | logit error |\n|---|--:|--:|--:|\n"));
            foreach (IGrouping<string, FixtureFigures> variant in Fixtures.SelectMany(fixture => fixture.Sections[at].Figures).GroupBy(figures => figures.Name))
            {
                text.Append(Text($"| {variant.Key} | {variant.Average(one => one.Agreement):P2} | {variant.Average(one => one.Divergence):F5} | {variant.Average(one => one.LogitError):P2} |\n"));
            }
        }

        text.Append("\n## Like with like, by fixture: MatMulNBits level 4 / LongCat\n\n| | positions | agreement | KL | logit error |\n|---|--:|--:|--:|--:|\n");
        foreach (FixtureResult fixture in Fixtures)
        {
            foreach (FixtureFigures theirs in fixture.Sections[0].Figures.Where(one => one.Name.StartsWith("MatMulNBits", StringComparison.Ordinal)))
            {
                string group = theirs.Name[(theirs.Name.LastIndexOf(' ') + 1)..];
                FixtureFigures ours = fixture.Sections[0].Figures.First(one => one.Name == $"LongCat, {group}");
                text.Append(Text($"| {fixture.Name}, {group} | {fixture.Positions} | {theirs.Agreement:P2} / {ours.Agreement:P2} | {theirs.Divergence:F5} / {ours.Divergence:F5} | {theirs.LogitError:P2} / {ours.LogitError:P2} |\n"));
            }
        }

        return text.ToString();
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>All tables of one fixture, and how far its float32 logits are from the golden ones.</summary>
internal sealed record FixtureResult(string Name, int Positions, double GoldenDifference, IReadOnlyList<FixtureSection> Sections);

/// <summary>A table.</summary>
internal sealed record FixtureSection(string Title, IReadOnlyList<FixtureFigures> Figures);

/// <summary>A line: <see cref="QualityFigures"/> without what means nothing on random weights.</summary>
internal sealed record FixtureFigures(string Name, double Agreement, double Divergence, double LogitError);
