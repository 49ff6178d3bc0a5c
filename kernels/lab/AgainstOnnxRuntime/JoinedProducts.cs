using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Lab;

/// <summary>
/// What joining the products of one input could save in decoding: of every layer the products of queries, keys and values and those of gate and up, beside one product as long as
/// all of them. Nothing reads the joined outputs, so this is the most that it could be. Weights are distinct and lie in memory, as in a step of the 1.1B Llama shape.
/// </summary>
internal sealed class JoinedProducts : IDisposable
{
    private const int Hidden = 2048, Group = 128, Layers = 11;

    private readonly InferenceSession _session;
    private readonly OrtIoBinding _binding;
    private readonly RunOptions _run = new();
    private readonly List<OrtValue> _owned = [];
    private readonly List<double> _milliseconds = [];

    private JoinedProducts(int[][] products, int threads)
    {
        GraphBuilder graph = new("joined", new ExternalData("none"));
        Value x = graph.Input("x", ElementType.Float, 1, Hidden), norm = graph.Input("norm", ElementType.Float, Hidden);
        List<(string Name, int Outputs)> weights = [];
        for (int layer = 0; layer < Layers; layer++)
        {
            for (int i = 0; i < products.Length; i++)
            {
                string q = $"q.{layer}.{i}";
                graph.Node("longcat", "RmsNormQuantize", [x, norm], [q, q + ".scale", q + ".sums"], NodeAttribute.Float("epsilon", 1e-6), NodeAttribute.Int("group_size", Group));
                foreach (int outputs in products[i])
                {
                    string name = $"w{weights.Count}";
                    weights.Add((name, outputs));
                    Value b = graph.Input(name, ElementType.Uint8, outputs / 64, PanelBytes), scale = graph.Input(name + ".scale", ElementType.Float, outputs);
                    graph.Node(
                        "longcat", "W4A8MatMul", [new(q), new(q + ".scale"), new(q + ".sums"), b, scale], [name + ".y"], NodeAttribute.Int("in_features", Hidden),
                        NodeAttribute.Int("out_features", outputs), NodeAttribute.Int("group_size", Group), NodeAttribute.Int("group_scale_bytes", 1));
                    graph.Output(new Value(name + ".y"), ElementType.Float, 1, outputs);
                }
            }
        }

        ModelProto model = graph.Build("lab");
        Random random = new(1);
        Constant("norm", ElementType.Float, MemoryMarshal.AsBytes(Enumerable.Repeat(1f, Hidden).ToArray().AsSpan()), Hidden);
        foreach ((string name, int outputs) in weights)
        {
            byte[] bytes = new byte[outputs / 64 * PanelBytes];
            random.NextBytes(bytes);
            Constant(name, ElementType.Uint8, bytes, outputs / 64, PanelBytes);
            Constant(name + ".scale", ElementType.Float, MemoryMarshal.AsBytes(Enumerable.Repeat(1e-6f, outputs).ToArray().AsSpan()), outputs);
        }

        // As the engine runs a model.
        using SessionOptions options = new() { IntraOpNumThreads = threads, EnableMemoryPattern = false };
        options.AddSessionConfigEntry("session.disable_prepacking", "1");
        options.AddSessionConfigEntry("session.intra_op.spin_duration_us", "50");
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        _session = new InferenceSession(model.ToByteArray(), options);
        _binding = _session.CreateIoBinding();
        Bind("x", true, [.. Enumerable.Range(0, Hidden).Select(i => (i % 7) - 3f)]);
        weights.ForEach(weight => Bind(weight.Name + ".y", false, new float[weight.Outputs]));

        void Constant(string name, ElementType type, ReadOnlySpan<byte> data, params long[] shape)
        {
            model.Graph.Input.Remove(model.Graph.Input.Single(input => input.Name == name));
            TensorProto tensor = new() { Name = name, DataType = (int)type, RawData = ByteString.CopyFrom(data) };
            tensor.Dims.AddRange(shape);
            model.Graph.Initializer.Add(tensor);
        }

        void Bind(string name, bool input, float[] data)
        {
            OrtValue value = OrtValue.CreateTensorValueFromMemory(data, [1, data.Length]);
            _owned.Add(value);
            if (input)
            {
                _binding.BindInput(name, value);
            }
            else
            {
                _binding.BindOutput(name, value);
            }
        }
    }

    private static int PanelBytes => (Hidden * 32) + (Hidden / Group * 64);

    public static void Run(int threads, double seconds)
    {
        (string Name, int[][] Products)[] forms =
        [
            ("q, k, v; gate, up", [[2048, 256, 256], [5632, 5632]]), ("qkv; gate, up", [[2560], [5632, 5632]]), ("q, k, v; gate·up", [[2048, 256, 256], [11264]]), ("qkv; gate·up", [[2560], [11264]]),
        ];
        JoinedProducts[] all = [.. forms.Select(form => new JoinedProducts(form.Products, threads))];
        for (Stopwatch time = Stopwatch.StartNew(); time.Elapsed.TotalSeconds < seconds * all.Length;)
        {
            foreach (JoinedProducts one in all)
            {
                one.Measure(5);
            }
        }

        for (int i = 0; i < all.Length; i++)
        {
            double[] times = [.. all[i]._milliseconds.Order()], first = [.. all[0]._milliseconds.Order()];
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{threads} threads, {forms[i].Name,-20} {Layers} layers: best {times[0]:f3} ms, a tenth below {times[times.Length / 10]:f3}; against apart {first[0] / times[0]:f3}, {first[first.Length / 10] / times[times.Length / 10]:f3} ({times.Length} runs)"));
            all[i].Dispose();
        }
    }

    public void Dispose()
    {
        _binding.Dispose();
        _owned.ForEach(owned => owned.Dispose());
        _session.Dispose();
        _run.Dispose();
    }

    private void Measure(int runs)
    {
        for (int i = 0; i < runs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            _session.RunWithBinding(_run, _binding);
            _milliseconds.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }
    }
}
