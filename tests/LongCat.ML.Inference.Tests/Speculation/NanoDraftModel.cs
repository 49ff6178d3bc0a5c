using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>longcat-nano with its multi-token-prediction head, exported once for a test class.</summary>
public sealed class NanoDraftModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public NanoDraftModel() => Folder = OnnxExporter.Export(Path.Combine(Repository.Root, "samples", "models", "longcat-nano"), _folder["onnx"]).Folder;

    public string Folder { get; }

    public void Dispose() => _folder.Dispose();
}
