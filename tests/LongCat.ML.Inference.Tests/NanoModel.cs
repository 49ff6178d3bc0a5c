using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests;

/// <summary>longcat-nano, the trained model of the repository, exported once for a test class.</summary>
public sealed class NanoModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public NanoModel() => Folder = OnnxExporter.Export(
        Path.Combine(Repository.Root, "samples", "models", "longcat-nano"), _folder["onnx"], new ExportOptions { IncludeDraft = false }).Folder;

    public string Folder { get; }

    public void Dispose() => _folder.Dispose();
}
