using System.Runtime.InteropServices;
using Google.Protobuf;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>A tensor in memory that an operator is fed with.</summary>
internal sealed record Feed(string Name, Array Data, params long[] Shape)
{
    public ElementType Type => Data switch
    {
        float[] => ElementType.Float,
        ushort[] => ElementType.Bfloat16,
        long[] => ElementType.Int64,
        int[] => ElementType.Int32,
        _ when Data.GetType() == typeof(sbyte[]) => ElementType.Int8,  // to a pattern a byte[] is an sbyte[] too
        _ when Data.GetType() == typeof(byte[]) => ElementType.Uint8,
        _ => throw new ArgumentException($"{Name} is a {Data.GetType()}"),
    };

    public OrtValue ToValue() => Data switch
    {
        float[] data => OrtValue.CreateTensorValueFromMemory(data, Shape),
        ushort[] data => OrtValue.CreateTensorValueFromMemory(MemoryMarshal.Cast<ushort, BFloat16>(data).ToArray(), Shape),
        long[] data => OrtValue.CreateTensorValueFromMemory(data, Shape),
        int[] data => OrtValue.CreateTensorValueFromMemory(data, Shape),
        _ when Data.GetType() == typeof(sbyte[]) => OrtValue.CreateTensorValueFromMemory((sbyte[])Data, Shape),
        _ when Data.GetType() == typeof(byte[]) => OrtValue.CreateTensorValueFromMemory((byte[])Data, Shape),
        _ => throw new ArgumentException($"{Name} is a {Data.GetType()}"),
    };
}

/// <summary>One operator of the domain longcat in ONNX Runtime; every input of the node is an input of the graph.</summary>
internal sealed class OperatorSession : IDisposable
{
    public OperatorSession(string type, IReadOnlyList<Feed?> inputs, IReadOnlyList<(string Name, ElementType Type)> outputs, params AttributeProto[] attributes)
        : this(type, inputs, [], outputs, attributes)
    {
    }

    /// <summary>The inputs named in <paramref name="constants"/> are initializers, as weights are; they are not fed.</summary>
    public OperatorSession(
        string type, IReadOnlyList<Feed?> inputs, IReadOnlyList<string> constants, IReadOnlyList<(string Name, ElementType Type)> outputs, AttributeProto[] attributes)
    {
        GraphBuilder graph = new("test", new ExternalData("none"));
        Value[] values = [.. inputs.Select(input => input is null
            ? Value.None
            : graph.Input(input.Name, input.Type, [.. input.Shape.Select((_, axis) => (Dimension)$"{input.Name}_{axis}")]))];
        graph.Node("longcat", type, values, outputs.Select(output => output.Name).ToArray(), attributes);
        foreach ((string name, ElementType element) in outputs.Where(output => output.Name.Length > 0))
        {
            // The rank is known, the sizes are not: as in a real graph.
            graph.Output(new Value(name), element, [.. Enumerable.Range(0, Rank(name)).Select(axis => (Dimension)$"{name}_{axis}")]);
        }

        using SessionOptions options = new()
        {
            IntraOpNumThreads = 2,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,  // errors are expected here and asserted
        };
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        ModelProto model = graph.Build("test");
        foreach (Feed constant in inputs.OfType<Feed>().Where(input => constants.Contains(input.Name)))
        {
            byte[] bytes = new byte[Buffer.ByteLength(constant.Data)];
            Buffer.BlockCopy(constant.Data, 0, bytes, 0, bytes.Length);
            TensorProto tensor = new() { Name = constant.Name, DataType = (int)constant.Type, RawData = ByteString.CopyFrom(bytes) };
            tensor.Dims.AddRange(constant.Shape);
            model.Graph.Initializer.Add(tensor);
            model.Graph.Input.Remove(model.Graph.Input.Single(input => input.Name == constant.Name));
        }

        Session = new InferenceSession(model.ToByteArray(), options);

        static int Rank(string name) => name switch
        {
            "cache_out" or "inner" => 3,
            "y_scale" => 1,
            _ => 2,
        };
    }

    public InferenceSession Session { get; }

    public float[] Run(IReadOnlyList<Feed?> inputs) => Run(inputs, out _);

    /// <summary>The first output, of integers.</summary>
    public int[] RunIntegers(IReadOnlyList<Feed?> inputs)
    {
        Feed[] present = [.. inputs.OfType<Feed>().Where(input => Session.InputNames.Contains(input.Name))];
        OrtValue[] values = [.. present.Select(input => input.ToValue())];
        try
        {
            using RunOptions options = new();
            using IDisposableReadOnlyCollection<OrtValue> results = Session.Run(options, [.. present.Select(input => input.Name)], values, Session.OutputNames);
            return results[0].GetTensorDataAsSpan<int>().ToArray();
        }
        finally
        {
            foreach (OrtValue value in values)
            {
                value.Dispose();
            }
        }
    }

    public float[] Run(IReadOnlyList<Feed?> inputs, out IReadOnlyList<long> shape)
    {
        Feed[] present = [.. inputs.OfType<Feed>().Where(input => Session.InputNames.Contains(input.Name))];
        OrtValue[] values = [.. present.Select(input => input.ToValue())];
        try
        {
            using RunOptions options = new();
            using IDisposableReadOnlyCollection<OrtValue> results = Session.Run(options, [.. present.Select(input => input.Name)], values, Session.OutputNames);
            shape = results[0].GetTensorTypeAndShape().Shape;
            return results[0].GetTensorDataAsSpan<float>().ToArray();
        }
        finally
        {
            foreach (OrtValue value in values)
            {
                value.Dispose();
            }
        }
    }

    /// <summary>Every output by its name.</summary>
    public IReadOnlyDictionary<string, Array> RunAll(IReadOnlyList<Feed?> inputs)
    {
        Feed[] present = [.. inputs.OfType<Feed>().Where(input => Session.InputNames.Contains(input.Name))];
        OrtValue[] values = [.. present.Select(input => input.ToValue())];
        try
        {
            using RunOptions options = new();
            using IDisposableReadOnlyCollection<OrtValue> results = Session.Run(options, [.. present.Select(input => input.Name)], values, Session.OutputNames);
            return Session.OutputNames.Zip(results).ToDictionary(pair => pair.First, pair => pair.Second.GetTensorTypeAndShape().ElementDataType switch
            {
                TensorElementType.Int32 => pair.Second.GetTensorDataAsSpan<int>().ToArray(),
                TensorElementType.Int8 => pair.Second.GetTensorDataAsSpan<sbyte>().ToArray(),
                _ => (Array)pair.Second.GetTensorDataAsSpan<float>().ToArray(),
            });
        }
        finally
        {
            foreach (OrtValue value in values)
            {
                value.Dispose();
            }
        }
    }

    public void Dispose() => Session.Dispose();
}
