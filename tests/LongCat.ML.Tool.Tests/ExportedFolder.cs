using LongCat.ML.TestShared;

namespace LongCat.ML.ToolTests;

/// <summary>A tiny random checkpoint with a byte tokenizer, exported once through the tool for all tests of a class.</summary>
public sealed class ExportedFolder : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ExportedFolder()
    {
        Checkpoint = RandomCheckpoint.Write(Path.Combine(_folder.Path, "checkpoint"), new RandomCheckpointOptions { NGram = true, Tokenizer = true });
        Onnx = Path.Combine(_folder.Path, "onnx");
        Export = ToolProcess.LongCat("export", Checkpoint, "--output", Onnx, "--precision", "f32");
    }

    public string Checkpoint { get; }

    public string Onnx { get; }

    internal ToolProcess Export { get; }

    public string File(string name) => Path.Combine(_folder.Path, name);

    public void Dispose() => _folder.Dispose();
}
