using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Onnx;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>A checkpoint, the documents that it is measured on, and its statistics.</summary>
internal sealed class QualitySubject : IDisposable
{
    private readonly string _checkpoint;
    private readonly string _temporary;
    private readonly CalibrationResult _calibrated;
    private readonly CalibrationResult _random;

    /// <summary>Exports it in float32 and collects statistics.</summary>
    /// <param name="checkpoint">Its folder.</param>
    /// <param name="temporary">A folder for exports.</param>
    /// <param name="documents">What is measured on.</param>
    /// <param name="random">Sequences of random tokens.</param>
    /// <param name="training">Sequences to calibrate with; the random ones where null.</param>
    public QualitySubject(string checkpoint, string temporary, IReadOnlyList<int[]> documents, IReadOnlyList<int[]> random, IReadOnlyList<int[]>? training)
    {
        (_checkpoint, _temporary) = (checkpoint, temporary);
        ExportOptions exact = new() { Precision = WeightPrecision.F32, IncludeDraft = false };
        string float32 = Path.Combine(temporary, "float32"), probe = Path.Combine(temporary, "probe");
        OnnxExporter.Export(checkpoint, float32, exact);
        Meter = QualityMeter.Open(documents, float32, temporary);
        ExportResult probed = OnnxExporter.Export(checkpoint, probe, exact with { Probes = true });
        _random = Calibrator.Collect(probe, probed.Sites, random, new CalibrationOptions { Gram = true, DataFree = true });
        _calibrated = training is null ? _random : Calibrator.Collect(probe, probed.Sites, training, new CalibrationOptions { Gram = true });
    }

    public QualityMeter Meter { get; }

    /// <summary>Exports and measures all variants, each model once.</summary>
    public IEnumerable<QualitySection> Measure(IEnumerable<QualityVariants> tables)
    {
        Dictionary<ExportOptions, QualityFigures> known = [];
        foreach (QualityVariants table in tables)
        {
            List<QualityFigures> figures = [];
            foreach (QualityVariant variant in table.Variants)
            {
                // The same model may stand in several tables.
                ExportOptions export = variant.Export(variant.DataFree ? _random : _calibrated);
                if (!known.TryGetValue(export, out QualityFigures? measured))
                {
                    string folder = Path.Combine(_temporary, "variant");
                    Stopwatch time = Stopwatch.StartNew();
                    OnnxExporter.Export(_checkpoint, folder, export);
                    measured = Meter.Measure(variant.Name, folder, time.Elapsed.TotalSeconds);
                    known.Add(export, measured);
                    Directory.Delete(folder, recursive: true);
                }

                figures.Add(measured with { Name = variant.Name });
            }

            yield return new QualitySection(table.Title, figures);
        }
    }

    public void Dispose()
    {
        Meter.Dispose();
        _random.Dispose();
        _calibrated.Dispose();
    }
}

/// <summary>A table of the report.</summary>
internal sealed record QualitySection(string Title, IReadOnlyList<QualityFigures> Figures);
