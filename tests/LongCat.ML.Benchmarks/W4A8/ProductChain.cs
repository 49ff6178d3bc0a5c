using System.Diagnostics;
using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>How the products of a chain are computed.</summary>
/// <param name="Label">What the tables say.</param>
/// <param name="Operator">The node's type.</param>
/// <param name="Block">Of MatMulNBits.</param>
/// <param name="Mapped">Whether the weights lie in a file that the runtime maps; otherwise in memory, in pages of 2 MB where there are any.</param>
internal sealed record ProductKind(string Label, string Operator, int Block = 0, bool Mapped = false)
{
    public static ProductKind LongCat { get; } = new("longcat W4A8", "W4A8MatMul");

    public static ProductKind LongCatMapped { get; } = new("longcat W4A8, weights in the file mapping", "W4A8MatMul", Mapped: true);

    /// <summary>ONNX Runtime's own 8-bit weights and activations.</summary>
    public static ProductKind EightBits { get; } = new("DynamicQuantizeMatMul (W8A8)", "DynamicQuantizeMatMul");

    /// <summary>ONNX Runtime's own 4-bit weights, activations rounded to 8 bits.</summary>
    public static ProductKind FourBits(int block) => new($"MatMulNBits level 4, block {block}", "MatMulNBits", block);
}

/// <summary>A session of products width → inner → width … whose weights are several times a large cache, so that each is read from memory as in a model.</summary>
internal sealed unsafe class ProductChain : IDisposable
{
    private readonly InferenceSession session;
    private readonly List<OrtValue> values = [];
    private readonly int products;
    private readonly int width;
    private readonly bool pinned;

    public ProductChain(ProductKind kind, ProductWeights weights, int threads, string folder)
    {
        (products, width, pinned) = (2 * weights.Pairs, weights.Width, threads == 1);
        Kind = kind;
        using SessionOptions options = new() { IntraOpNumThreads = threads, InterOpNumThreads = 1 };

        // A contestant's threads may spin while it runs, not while the next one does.
        options.AddSessionConfigEntry("session.force_spinning_stop", "1");
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        ExternalData data = new("weights.data");
        GraphBuilder graph = new("products", data);
        Value x = graph.Input("x", ElementType.Float, "M", width);
        for (int i = 0; i < products; i++)
        {
            W4A8Shape shape = weights.Shapes[i % 2];
            (long n, long k) = (shape.OutFeatures, shape.InFeatures);
            double step = 1 / Math.Sqrt(k);
            byte* bits = weights.Bits.Bytes + (n * k * i / (kind.Operator == "MatMulNBits" ? 2 : 1));
            switch (kind.Operator)
            {
                case "W4A8MatMul":
                    const int panelColumns = 64;
                    long panels = (n + panelColumns - 1) / panelColumns;
                    Value packed = kind.Mapped
                        ? graph.Weight($"b{i}", new Bytes($"b{i}", weights.Matrix(i), ElementType.Uint8, panels, weights.MatrixBytes(i) / panels))
                        : Given($"b{i}", weights.Matrix(i), ElementType.Uint8, panels, weights.MatrixBytes(i) / panels);
                    graph.Node(
                        "longcat", "W4A8MatMul", [x, Value.None, Value.None, packed, Given($"scale{i}", weights.Scales[i % 2].Bytes, ElementType.Float, n)], [$"y{i}"],
                        NodeAttribute.Int("in_features", k), NodeAttribute.Int("out_features", n), NodeAttribute.Int("group_size", shape.Group),
                        NodeAttribute.Int("group_scale_bytes", shape.GroupScaleBytes), NodeAttribute.Int("layout", 1));
                    break;
                case "MatMulNBits":
                    long blocks = (k + kind.Block - 1) / kind.Block;
                    x = graph.MatMul4Bits(
                        x, Given($"b{i}", bits, ElementType.Uint8, n, blocks, kind.Block / 2),
                        Given($"scale{i}", weights.Constant(n * blocks, step / 4.6), ElementType.Float, n, blocks), n, k, kind.Block, $"y{i}");
                    break;
                default:
                    graph.Node(
                        GraphBuilder.MicrosoftDomain, "DynamicQuantizeMatMul",
                        [x, Given($"b{i}", bits, ElementType.Int8, k, n), Given($"scale{i}", weights.Constant(n, step / 74), ElementType.Float, n)], [$"y{i}"]);
                    break;
            }

            x = new Value($"y{i}");
        }

        graph.Output(x, ElementType.Float, "M", width);
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, "model.onnx"), file = Path.Combine(folder, "weights.data");
        File.WriteAllBytes(path, graph.Build("benchmark").ToByteArray());
        if (kind.Mapped)
        {
            data.Write(file, null, CancellationToken.None);
        }
        else
        {
            // ONNX Runtime wants to see the file even if it reads nothing of it: one that takes no space.
            using FileStream empty = File.Create(file);
            empty.SetLength(data.Length);
        }

        session = new InferenceSession(path, options);

        Value Given(string name, void* at, ElementType type, params long[] shape)
        {
            (TensorElementType element, int size) = type switch
            {
                ElementType.Float => (TensorElementType.Float, 4),
                ElementType.Int8 => (TensorElementType.Int8, 1),
                _ => (TensorElementType.UInt8, 1),
            };
            OrtValue value = OrtValue.CreateTensorValueWithData(OrtMemoryInfo.DefaultInstance, element, shape, (nint)at, shape.Aggregate(1L, (a, b) => a * b) * size);
            values.Add(value);
            options.AddInitializer(name, value);
            return graph.Weight(name, new Bytes(name, (byte*)at, type, shape));
        }
    }

    public ProductKind Kind { get; }

    /// <summary>Seconds for one product, in processor time where one thread runs.</summary>
    public double Seconds(float[] input, int rows)
    {
        using OrtValue value = OrtValue.CreateTensorValueFromMemory(input, [rows, width]);
        using RunOptions options = new();
        double started = Now();
        session.Run(options, ["x"], [value], session.OutputNames).Dispose();
        return (Now() - started) / products;
    }

    public void Dispose()
    {
        session.Dispose();
        values.ForEach(value => value.Dispose());
    }

    private double Now() => pinned ? PinnedThread.ProcessorSeconds() : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

    private sealed class Bytes(string key, byte* from, ElementType type, params long[] shape) : TensorSource(key, type, shape)
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
