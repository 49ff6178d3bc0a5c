using LongCat.ML.Onnx;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests;

/// <summary>A small random LongCat-Flash-Lite, exported once for a test class.</summary>
public sealed class ExportedModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ExportedModel() => Folder = OnnxExporter.Export(
        RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Layers = 2, Tokenizer = true }), _folder["onnx"]).Folder;

    public string Folder { get; }

    public void Dispose() => _folder.Dispose();
}
