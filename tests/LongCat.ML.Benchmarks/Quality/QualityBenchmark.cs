using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

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

    private static readonly int[] Groups = [32, 64, 128, 0];
    private static readonly QuantizationOptions Default = new();

    public static int Run(BenchmarkOptions options, string checkpoint, string temporary)
    {
        HeldOutText text = HeldOutText.Read(checkpoint, options.Quick ? 30 : Every, CalibrationRows);
        string float32 = Path.Combine(temporary, "float32");
        OnnxExporter.Export(checkpoint, float32, Plain(WeightPrecision.F32));
        using QualityMeter meter = QualityMeter.Open(text, float32, temporary);
        Console.Error.WriteLine(FormattableString.Invariant($"  float32: perplexity {meter.Perplexity:F4} over {text.Predicted} tokens"));

        string probe = Path.Combine(temporary, "probe");
        ExportResult probed = OnnxExporter.Export(checkpoint, probe, Plain(WeightPrecision.F32) with { Probes = true });
        using CalibrationResult calibrated = Calibrator.Collect(probe, probed.Sites, text.Training, new CalibrationOptions { Gram = true });
        using CalibrationResult random = Calibrator.Collect(probe, probed.Sites, RandomTokens(text), new CalibrationOptions { Gram = true, DataFree = true });
        List<QualitySection> sections = [];
        Dictionary<ExportOptions, QualityFigures> known = [];
        foreach ((string title, IReadOnlyList<QualityVariant> variants) in Variants(options.Quick))
        {
            List<QualityFigures> figures = [];
            foreach (QualityVariant variant in variants)
            {
                // The same model may stand in several tables.
                ExportOptions export = variant.Export(variant.DataFree ? random : calibrated);
                if (!known.TryGetValue(export, out QualityFigures? measured))
                {
                    string folder = Path.Combine(temporary, "variant");
                    Stopwatch time = Stopwatch.StartNew();
                    OnnxExporter.Export(checkpoint, folder, export);
                    measured = meter.Measure(variant.Name, folder, time.Elapsed.TotalSeconds);
                    known.Add(export, measured);
                    Directory.Delete(folder, recursive: true);
                }

                figures.Add(measured with { Name = variant.Name });
                Console.Error.WriteLine($"  {QualityReport.Line(figures[^1])}");
            }

            sections.Add(new QualitySection(title, figures));
        }

        QualityReport report = new(MachineFacts.Read(), $"{DateTime.UtcNow:yyyy-MM-dd}", options.Quick, meter.Perplexity, text.Documents.Count, text.Predicted, text.Changed, text.Missing,
            text.Training.Count, text.Training.Sum(document => document.Length), sections);
        Console.WriteLine(report.ToMarkdown());
        if (options.Save)
        {
            report.Save();
        }

        return 0;
    }

    private static IEnumerable<(string Title, IReadOnlyList<QualityVariant> Variants)> Variants(bool quick)
    {
        int[] groups = quick ? [128] : Groups;
        int[] blocks = [.. groups.Where(group => group > 0)];
        QuantizationOptions projections = Default with { Experts = false, Head = HeadPrecision.Own };
        yield return ("Like with like: the same matrices in 4 bits, experts and output head in float",
            [.. groups.SelectMany(group => new[] { MatMulNBits(group, head: false), Ours("RoundToNearest", projections with { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = group }), Ours("LongCat", projections with { GroupSize = group }) })
                .OfType<QualityVariant>()]);
        yield return ("Everything that each quantizes by default",
            [.. blocks.Select(block => MatMulNBits(block, head: true)!), .. groups.Select(group => Ours("LongCat", Default with { GroupSize = group }))]);
        yield return ("Recipes by group size",
            [.. Enum.GetValues<QuantizationRecipe>().SelectMany(recipe => groups.Select(group => Ours($"{recipe}", Default with { Recipe = recipe, GroupSize = group })))]);
        yield return ("Activations of the default recipe",
            [.. Enum.GetValues<ActivationScheme>().SelectMany(scheme => new[] { false, true }.Select(equalize =>
                Ours($"LongCat, {scheme}{(equalize ? ", equalized" : "")}", Default with { Activations = scheme, Equalize = equalize })))]);
        yield return ("What each step of the default recipe gives",
            [
                Ours("nearest levels, no clipping", Default with { Compensate = false, Clipping = WeightClipping.None }),
                Ours("nearest levels, grid", Default with { Compensate = false }),
                Ours("nearest levels, learned clipping", Default with { Compensate = false, Clipping = WeightClipping.Learned }),
                Ours("compensated, no clipping", Default with { Clipping = WeightClipping.None }),
                Ours("compensated, grid (LongCat)", Default),
                Ours("compensated, learned clipping", Default with { Clipping = WeightClipping.Learned }),
                Ours("LongCat, group scales up to 15", Default with { Scaling = WeightScaling.TwoLevelNarrow }),
                Ours("LongCat, integer scales, amplifier 1024", Default with { Scaling = WeightScaling.IntegerScale }),
                Ours("LongCat, integer scales, amplifier searched", Default with { Scaling = WeightScaling.IntegerScale, Amplifier = 0 }),
                Ours("LongCat, n-gram tables in 8 bits", Default with { NGramTables = TablePrecision.Int8 }),
                Ours("LongCat, calibrated on random tokens", Default) with { DataFree = true },
            ]);
    }

    private static QualityVariant Ours(string name, QuantizationOptions options)
    {
        // Resolved, the recipe's name changes nothing.
        QuantizationOptions resolved = options.Resolve() with { Recipe = default };
        return new QualityVariant(
            $"{name}, {(resolved.GroupSize is > 0 and int group ? $"g{group}" : "channel")}",
            statistics => Plain(WeightPrecision.W4A8) with { Quantization = resolved, Statistics = statistics });
    }

    /// <summary>ONNX Runtime's own 4 bits; it has no per-channel form.</summary>
    private static QualityVariant? MatMulNBits(int block, bool head) => block == 0 ? null : new QualityVariant(
        $"MatMulNBits level 4{(head ? "" : ", head in float")}, g{block}",
        _ => Plain(WeightPrecision.Int4) with { Operators = OperatorSet.Standard, Int4BlockSize = block, Int4Head = head });

    private static ExportOptions Plain(WeightPrecision precision) => new() { Precision = precision, IncludeDraft = false };

    /// <summary>As many sequences of the same lengths, tokens drawn evenly (FPTQ's data-free calibration).</summary>
    private static int[][] RandomTokens(HeldOutText text)
    {
        Random random = new(1);
        int most = text.Training.Max(document => document.Max());
        return [.. text.Training.Select(document => document.Select((id, i) => i == 0 ? id : random.Next(3, most + 1)).ToArray())];
    }
}

/// <summary>One export to measure.</summary>
internal sealed record QualityVariant(string Name, Func<IStatisticsSource, ExportOptions> Export)
{
    /// <summary>Whether its statistics come from random tokens.</summary>
    public bool DataFree { get; init; }
}

/// <summary>A table of the report.</summary>
internal sealed record QualitySection(string Title, IReadOnlyList<QualityFigures> Figures);
