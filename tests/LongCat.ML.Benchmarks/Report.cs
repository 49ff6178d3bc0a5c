using System.Globalization;
using System.Text;
using System.Text.Json;

namespace LongCat.ML.Benchmarks;

/// <summary>A run: the machine, how busy it was with other things, and the figures.</summary>
internal sealed record Report(MachineFacts Machine, bool Quick, string Date, double Seconds, double OtherCores, IReadOnlyList<Figure> Figures)
{
    /// <summary>More than this many cores' worth of other work, and the figures are not kept.</summary>
    private const double QuietCores = 0.2;

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append(Line($"{Machine.Cpu}, {Machine.Cores} cores, last-level cache {Machine.LastLevelCache}; kernels {Machine.KernelPath}; packages {Machine.Packages}, "))
            .Append(Line($"ONNX Runtime {Machine.OnnxRuntime}, {Machine.Runtime}, {Machine.OperatingSystem}.\n"))
            .Append(Line($"{Date}, {Seconds:F0} s; other processes took {OtherCores:F2} cores on average{(Quiet ? "" : ": a busy machine, compare within this run only")}."));
        text.Append(Quick ? " A quick run: it shows that everything works, not how fast.\n" : "\n");
        foreach (IGrouping<string, Figure> part in Figures.GroupBy(figure => figure.Part))
        {
            string[] more = [.. part.SelectMany(figure => figure.More.Keys).Distinct()];
            text.Append(Line($"\n## {part.Key}\n\n| case | threads | unit | best | median | spread | runs |"));
            bool verdicts = part.Any(figure => figure.Verdict is not null);
            text.Append(string.Concat(more.Select(name => $" {name} |"))).Append(verdicts ? " verdict |\n" : "\n");
            text.Append("|---|--:|---|--:|--:|--:|--:|").Append(string.Concat(more.Select(_ => "--:|"))).Append(verdicts ? "---|\n" : "\n");
            foreach (Figure figure in part)
            {
                text.Append(Line($"| {figure.Name} | {(figure.Threads > 0 ? figure.Threads : "")} | {figure.Unit} | {Number(figure.Best)} | {Number(figure.Median)} | {figure.Spread:P0} | {figure.Runs} |"));
                text.Append(string.Concat(more.Select(name => figure.More.TryGetValue(name, out double value) ? $" {Number(value)} |" : " |")));
                text.Append(verdicts ? Line($" {figure.Verdict} |\n") : "\n");
            }
        }

        return text.ToString();
    }

    /// <summary>Writes the two files of this machine.</summary>
    /// <param name="suffix">What their name ends with, for a part that is kept by itself.</param>
    /// <param name="picture">An SVG picture that is kept beside them.</param>
    /// <returns>False when the machine was too busy, which is said on standard error.</returns>
    public bool TrySave(string suffix, string? picture = null)
    {
        if (!Quiet)
        {
            Console.Error.WriteLine(Line($"error: other processes took {OtherCores:F2} cores during the run, at most {QuietCores} are allowed; nothing is saved. Run again on a quiet machine."));
            return false;
        }

        string folder = Path.Combine(BenchmarkModels.Root, "tests", "LongCat.ML.Benchmarks", "results");
        string words = new([.. Machine.Cpu.ToLowerInvariant().Select(letter => char.IsAsciiLetterOrDigit(letter) ? letter : ' ')]);
        string name = string.Join('-', [.. words.Split(' ', StringSplitOptions.RemoveEmptyEntries), Line($"{Machine.Cores}")]) + suffix;
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, name + ".json"), JsonSerializer.Serialize(this, Json) + "\n");
        File.WriteAllText(Path.Combine(folder, name + ".md"), ToMarkdown());
        if (picture is not null)
        {
            File.WriteAllText(Path.Combine(folder, name + ".svg"), picture);
        }

        Console.Error.WriteLine($"saved results/{name}.json and .md");
        return true;
    }

    // Not a property of the record: the JSON holds the number itself.
    private bool Quiet => OtherCores <= QuietCores;

    private static string Number(double value) => Line(Math.Abs(value) switch
    {
        >= 100 => $"{value:F0}",
        >= 10 => $"{value:F1}",
        _ => $"{value:F2}",
    });

    private static string Line(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
