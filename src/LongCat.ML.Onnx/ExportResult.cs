using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>What an export has written.</summary>
/// <param name="Folder">The full path of the model folder.</param>
/// <param name="Manifest">The content of its longcat.json.</param>
/// <param name="TensorCount">Tensors in model.onnx.data.</param>
/// <param name="Elapsed">How long it took.</param>
public sealed record ExportResult(string Folder, ModelManifest Manifest, int TensorCount, TimeSpan Elapsed)
{
    /// <summary>The length of model.onnx.data in bytes.</summary>
    public long DataBytes => Manifest.Files[ModelManifest.DataFileName].Bytes;

    /// <summary>The inputs of model.onnx's linear layers, in the graph's order; empty with standard operators. With <see cref="ExportOptions.Probes"/> the graph puts out each one's value.</summary>
    public IReadOnlyList<LinearSite> Sites { get; init; } = [];

    /// <summary>The inputs of draft.onnx's linear layers; empty without a draft head.</summary>
    public IReadOnlyList<LinearSite> DraftSites { get; init; } = [];
}
