using System.Diagnostics;
using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Lab;

/// <summary>A graph of nodes one after another; all share one small matrix, so that it stays in the first cache.</summary>
internal sealed class Chain : IDisposable
{
    private const int Links = 100;

    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly RunOptions _run = new();
    private readonly List<IDisposable> _owned = [];
    private readonly int _nodes;

    private Chain(string name, int nodesPerLink, int size, int threads, IReadOnlyList<(string Name, Array Data, long[] Shape)> constants, Func<GraphBuilder, Value, string, Value> link)
    {
        Name = name;
        _nodes = Links * nodesPerLink;
        GraphBuilder graph = new("chain", new ExternalData("none"));
        Value value = graph.Input("x", ElementType.Float, 1, size);
        foreach ((string constant, Array data, long[] shape) in constants)
        {
            graph.Input(constant, data is float[] ? ElementType.Float : ElementType.Uint8, [.. shape.Select(length => (Dimension)length)]);
        }

        for (int i = 0; i < Links; i++)
        {
            value = link(graph, value, $"{i}");
        }

        graph.Output(value, ElementType.Float, 1, size);
        using SessionOptions options = new() { IntraOpNumThreads = threads, EnableMemoryPattern = false };
        options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0");
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        ModelProto model = graph.Build("lab");
        foreach ((string constant, Array data, long[] shape) in constants)
        {
            // Weights are initializers, as in an exported model, but inside the file.
            model.Graph.Input.Remove(model.Graph.Input.Single(input => input.Name == constant));
            TensorProto tensor = new() { Name = constant, DataType = (int)(data is float[] ? ElementType.Float : ElementType.Uint8), RawData = Bytes(data) };
            tensor.Dims.AddRange(shape);
            model.Graph.Initializer.Add(tensor);
        }

        _session = new InferenceSession(model.ToByteArray(), options);
        _binding = _session.CreateIoBinding();
        Bind("x", Enumerable.Range(0, size).Select(i => i % 7 - 3f).ToArray(), [1, size]);
        OrtValue result = OrtValue.CreateTensorValueFromMemory(new float[size], [1, size]);
        _owned.Add(result);
        _binding.BindOutput(value.Name, result);
    }

    public string Name { get; }

    public double Microseconds { get; private set; } = double.MaxValue;

    public static IEnumerable<Chain> All(int size, int threads)
    {
        int panels = (size + 63) / 64;
        (string, Array, long[])[] packed =
        [
            ("b", Enumerable.Range(0, panels * ((size * 32) + 64)).Select(i => (byte)(i * 37)).ToArray(), [panels, (size * 32) + 64]),
            ("scale", Enumerable.Repeat(0.001f, size).ToArray(), [size]),
        ];
        (string, Array, long[])[] normed = [.. packed, ("weight", Enumerable.Repeat(1f, size).ToArray(), [size])];
        AttributeProto[] product =
        [
            NodeAttribute.Int("in_features", size), NodeAttribute.Int("out_features", size), NodeAttribute.Int("group_size", 0), NodeAttribute.Int("group_scale_bytes", 1),
        ];
        Value b = new("b"), scale = new("scale"), weight = new("weight");

        yield return new Chain("Neg (ONNX Runtime's own)", 1, size, threads, [], (graph, x, i) => Node(graph, "", "Neg", [x], ["y" + i]));
        yield return new Chain("W4A8MatMul of floats", 1, size, threads, packed, (graph, x, i) => Node(graph, "longcat", "W4A8MatMul", [x, Value.None, Value.None, b, scale], ["y" + i], product));
        yield return new Chain("RmsNormQuantize, W4A8MatMul", 2, size, threads, normed, (graph, x, i) =>
        {
            Node(graph, "longcat", "RmsNormQuantize", [x, weight], ["q" + i, "s" + i, "t" + i], NodeAttribute.Float("epsilon", 1e-6));
            return Node(graph, "longcat", "W4A8MatMul", [new("q" + i), new("s" + i), new("t" + i), b, scale], ["y" + i], product);
        });
        yield return new Chain("SiluMulQuantize, W4A8MatMul, residual", 2, size, threads, packed, (graph, x, i) =>
        {
            Node(graph, "longcat", "SiluMulQuantize", [x, x], ["q" + i, "s" + i, "t" + i]);
            return Node(graph, "longcat", "W4A8MatMul", [new("q" + i), new("s" + i), new("t" + i), b, scale, Value.None, x], ["y" + i], product);
        });
    }

    public void Measure(double seconds)
    {
        Stopwatch all = Stopwatch.StartNew();
        while (all.Elapsed.TotalSeconds < seconds)
        {
            long start = Stopwatch.GetTimestamp();
            _session.RunWithBinding(_run, _binding);
            Microseconds = Math.Min(Microseconds, Stopwatch.GetElapsedTime(start).TotalMicroseconds / _nodes);
        }
    }

    public void Dispose()
    {
        _binding.Dispose();
        _owned.ForEach(owned => owned.Dispose());
        _session.Dispose();
        _run.Dispose();
    }

    private static Value Node(GraphBuilder graph, string domain, string type, Value[] inputs, string[] outputs, params AttributeProto[] attributes)
    {
        graph.Node(domain, type, inputs, outputs, attributes);
        return new Value(outputs[0]);
    }

    private static ByteString Bytes(Array data)
    {
        byte[] bytes = new byte[Buffer.ByteLength(data)];
        Buffer.BlockCopy(data, 0, bytes, 0, bytes.Length);
        return ByteString.CopyFrom(bytes);
    }

    private void Bind(string name, float[] data, long[] shape)
    {
        OrtValue value = OrtValue.CreateTensorValueFromMemory(data, shape);
        _owned.Add(value);
        _binding.BindInput(name, value);
    }
}
