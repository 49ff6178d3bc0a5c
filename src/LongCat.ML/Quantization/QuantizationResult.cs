using LongCat.ML.Onnx;

namespace LongCat.ML;

/// <summary>What a quantization has written.</summary>
/// <param name="Export">The folder, as an export describes it. The folder also holds quantization.json and quantization.svg: per matrix its scheme, error and clipped share.</param>
/// <param name="Calibration">Which rows were read; null where the recipe needs none and none were given.</param>
/// <param name="Elapsed">How long everything took.</param>
public sealed record QuantizationResult(ExportResult Export, CalibrationSummary? Calibration, TimeSpan Elapsed)
{
    /// <summary>The full path of the model folder: what Generate, Score, Classify, Embed and Tokenize take.</summary>
    public string Folder => Export.Folder;
}
