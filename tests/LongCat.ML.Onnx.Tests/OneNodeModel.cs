using Google.Protobuf;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

/// <summary>A graph of a few nodes, written to a temporary folder and opened by ONNX Runtime.</summary>
internal sealed class OneNodeModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public OneNodeModel(Action<GraphBuilder> build, SessionOptions? options = null)
    {
        ExternalData data = new("model.onnx.data");
        GraphBuilder graph = new("test", data);
        build(graph);
        data.Write(Path.Combine(_folder.Path, "model.onnx.data"), null, CancellationToken.None);
        string path = Path.Combine(_folder.Path, "model.onnx");
        File.WriteAllBytes(path, graph.Build("test").ToByteArray());
        Session = options is null ? new InferenceSession(path) : new InferenceSession(path, options);
    }

    public InferenceSession Session { get; }

    /// <summary>Runs with tensors given as (name, value) and returns every output.</summary>
    public IDisposableReadOnlyCollection<OrtValue> Run(params (string Name, OrtValue Value)[] inputs)
    {
        using RunOptions options = new();
        return Session.Run(options, [.. inputs.Select(input => input.Name)], [.. inputs.Select(input => input.Value)], Session.OutputNames);
    }

    public void Dispose()
    {
        Session.Dispose();
        _folder.Dispose();
    }
}
