using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>longcat-nano with its draft head, exported for sparse verification once for a test class.</summary>
public sealed class NanoSparseModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public NanoSparseModel() => Folder = OnnxExporter.Export(
        Path.Combine(Repository.Root, "samples", "models", "longcat-nano"), _folder["onnx"], new ExportOptions { SparseVerification = true }).Folder;

    public string Folder { get; }

    public void Dispose() => _folder.Dispose();
}
