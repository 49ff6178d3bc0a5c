using LongCat.ML.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>Weights of a session that lie in memory already and are given to it as they are. They must outlive the session, and so must this.</summary>
internal sealed unsafe class MemoryWeights(GraphBuilder graph, SessionOptions options) : IDisposable
{
    private readonly List<OrtValue> values = [];

    /// <summary>Bytes that an external file of the graph seems to have; nothing is read of it.</summary>
    public static void WriteEmpty(string path, ExternalData data)
    {
        using FileStream empty = File.Create(path);
        empty.SetLength(data.Length);
    }

    public Value Add(string name, void* at, ElementType type, params long[] shape)
    {
        Give(options, name, at, type, shape);
        return graph.Weight(name, new Tensor(name, (byte*)at, type, shape));
    }

    /// <summary>The same for another session of the same graph.</summary>
    public void Give(SessionOptions to, string name, void* at, ElementType type, params long[] shape)
    {
        (TensorElementType element, int size) = type == ElementType.Float ? (TensorElementType.Float, 4) : (TensorElementType.UInt8, 1);
        OrtValue value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, element, shape, (nint)at, shape.Aggregate(1L, (a, b) => a * b) * size);
        values.Add(value);
        to.AddInitializer(name, value);
    }

    public void Dispose() => values.ForEach(value => value.Dispose());

    private sealed class Tensor(string key, byte* from, ElementType type, params long[] shape) : TensorSource(key, type, shape)
    {
        public override void CopyTo(Stream destination)
        {
            const int part = 1 << 20;
            for (long at = 0; at < ByteLength; at += part)
            {
                destination.Write(new ReadOnlySpan<byte>(from + at, (int)Math.Min(part, ByteLength - at)));
            }
        }
    }
}
