namespace LongCat.ML.Benchmarks.Quality;

/// <summary>
/// What the recipes keep of longcat-nano on documents that it never saw, beside ONNX Runtime's MatMulNBits (accuracy level 4). Every figure is deterministic:
/// a busy machine changes the seconds only.
/// </summary>
internal static class QualityBenchmark
{
    private const int CalibrationRows = 512;

    /// <summary>Every third held-out document: forty models run over them in a quarter of an hour on two busy cores.</summary>
    private const int Every = 3;

    public static int Run(BenchmarkOptions options, string checkpoint, string temporary)
    {
        HeldOutText text = HeldOutText.Read(checkpoint, options.Quick ? 30 : Every, CalibrationRows);
        using QualitySubject nano = new(checkpoint, temporary, text.Documents, RandomTokens(text), text.Training);
        Console.Error.WriteLine(FormattableString.Invariant($"  float32: perplexity {nano.Meter.Perplexity:F4} over {nano.Meter.Predicted} tokens"));
        List<QualitySection> sections = [];
        foreach (QualitySection section in nano.Measure(QualityVariants.Recipes(options.Quick).Append(QualityVariants.Steps)))
        {
            sections.Add(section);
            section.Figures.ToList().ForEach(figures => Console.Error.WriteLine($"  {QualityReport.Line(figures)}"));
        }

        QualityReport report = new(MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", options.Quick, nano.Meter.Perplexity, text.Documents.Count, nano.Meter.Predicted, text.Changed, text.Missing,
            text.Training.Count, text.Training.Sum(document => document.Length), sections);
        Console.WriteLine(report.ToMarkdown());
        if (options.Save)
        {
            QualityReport.Save("quality-longcat-nano", report, report.ToMarkdown());
        }

        return 0;
    }

    /// <summary>As many sequences of the same lengths, tokens drawn evenly (FPTQ's data-free calibration).</summary>
    private static int[][] RandomTokens(HeldOutText text)
    {
        Random random = new(1);
        int most = text.Training.Max(document => document.Max());
        return [.. text.Training.Select(document => document.Select((id, i) => i == 0 ? id : random.Next(3, most + 1)).ToArray())];
    }
}
