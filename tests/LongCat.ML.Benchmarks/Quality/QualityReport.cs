using System.Globalization;
using System.Text;
using System.Text.Json;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>The tables of a run.</summary>
internal sealed record QualityReport(
    MachineFacts Machine,
    string Date,
    bool Quick,
    double Perplexity,
    int Documents,
    int Predicted,
    int Changed,
    int Missing,
    int CalibrationDocuments,
    int CalibrationTokens,
    IReadOnlyList<QualitySection> Sections)
{
    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>A model in a line.</summary>
    public static string Line(QualityFigures figures) => Text(
        $"{figures.Name}: perplexity {figures.Perplexity:F3} ({figures.RelativePerplexity:+0.00%;-0.00%}), agreement {figures.Agreement:P2}, KL {figures.Divergence:F5}, {figures.Seconds:F1} s");

    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append("# What 4-bit weights and 8-bit activations keep of longcat-nano\n\n    ./run bench --only quality --save\n\n");
        text.Append(Text($"{Date}; kernels {Machine.KernelPath}, packages {Machine.Packages}, ONNX Runtime {Machine.OnnxRuntime}, {Machine.Runtime}. {Documents} held-out documents, every third "))
            .Append(Text($"({Changed} of the list are worded differently in this SDK and {Missing} are missing: left out), {Predicted} predicted tokens, each document alone. "))
            .Append(Text($"Calibration: {CalibrationDocuments} documents of the training text, {CalibrationTokens} tokens.\n\n"))
            .Append(Text($"float32: perplexity **{Perplexity:F4}**. `±` is the standard error of the difference over documents, in per cent. Agreement: share of positions with float32's most likely token. "))
            .Append("KL: mean of KL(float32 ‖ model), in nats. Size: graph and weights.\n");
        if (Quick)
        {
            text.Append("\nA quick run over few of the documents: it shows that everything works.\n");
        }

        foreach (QualitySection section in Sections)
        {
            text.Append(Text($"\n## {section.Title}\n\n| | perplexity | against float32 | ± | agreement | KL | MB |\n|---|--:|--:|--:|--:|--:|--:|\n"));
            foreach (QualityFigures figures in section.Figures)
            {
                text.Append(Text($"| {figures.Name} | {figures.Perplexity:F3} | {figures.RelativePerplexity:+0.00%;-0.00%} | {figures.DifferenceError * 100:F2} | {figures.Agreement:P2} | {figures.Divergence:F5} | {figures.Megabytes:F1} |\n"));
            }
        }

        return text.ToString();
    }

    /// <summary>Writes results/{name}.json and .md; the figures are deterministic for a kernel path, so a busy machine is no reason to refuse.</summary>
    public static void Save<T>(string name, T report, string markdown)
    {
        string path = Path.Combine(BenchmarkModels.Root, "tests", "LongCat.ML.Benchmarks", "results", name);
        File.WriteAllText(path + ".json", JsonSerializer.Serialize(report, Json) + "\n");
        File.WriteAllText(path + ".md", markdown);
        Console.Error.WriteLine($"saved {name}.json and .md");
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
