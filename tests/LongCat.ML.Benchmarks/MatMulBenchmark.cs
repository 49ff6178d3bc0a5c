using System.Runtime.InteropServices;
using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Benchmarks;

/// <summary>
/// One thread's matrix products inside ONNX Runtime: longcat::MatMul with packed weights beside the runtime's own MatMul, in turns. A graph
/// is a chain of products with weights of their own, more of them than the caches hold, so that each is read from memory as in a model.
/// </summary>
internal static class MatMulBenchmark
{
    public static IEnumerable<Figure> Run(BenchmarkModels models, BenchmarkOptions options)
    {
        ReadBandwidth memory = new(options.Quick);
        (int Width, int Inner)[] shapes = options.Quick ? [(256, 512)] : [(4096, 4096), (2048, 5632)];
        foreach ((int width, int inner) in shapes)
        {
            string name = width == inner ? $"[M, {width}] x [{width}, {width}]" : $"[M, {width}] x [{inner}, {width}] and [M, {inner}] x [{width}, {inner}]";
            Console.Error.WriteLine($"matmul: {name}");
            using Chain runtime = new(models, Kind.OnnxRuntime, width, inner), wide = new(models, Kind.Float32, width, inner), narrow = new(models, Kind.BFloat16, width, inner);
            Chain[] chains = [runtime, wide, narrow];
            foreach (int rows in (int[])[1, 2, 4, 8, 16, 32, 128, 512])
            {
                float[] input = Noise.Floats(rows * width, seed: 7);
                double bandwidth = 0, peak = 0;
                int repetitions = options.Quick ? 2 : rows <= 32 ? 30 : 8;
                double[][] turns = [.. Enumerable.Range(0, repetitions).Select(_ =>
                {
                    bandwidth = Math.Max(bandwidth, memory.Bytes / ProcessorSeconds(() => memory.Measure(1)));
                    peak = Math.Max(peak, MultiplyAddPeak.Operations / ProcessorSeconds(MultiplyAddPeak.Run));
                    return chains.Select(chain => chain.Seconds(input, rows)).ToArray();
                })];
                for (int i = 0; i < chains.Length; i++)
                {
                    double operations = 2.0 * rows * width * inner;
                    double bytes = (double)width * inner * (chains[i].Kind == Kind.BFloat16 ? 2 : 4);
                    Series series = new(higherIsBetter: true, [.. turns.Select(turn => operations / turn[i] / 1e9)]);
                    yield return series.ToFigure(
                        "matmul", $"{name.Replace("M", $"{rows}", StringComparison.Ordinal)}, {chains[i].Label}", "GFLOP/s", 1,
                        ("ms", operations / series.Best / 1e6), ("times ONNX Runtime", turns.Min(turn => turn[0]) / turns.Min(turn => turn[i])),
                        ("machine GFLOP/s", peak / 1e9), ("GB/s", bytes / (operations / series.Best / 1e9) / 1e9), ("machine GB/s", bandwidth / 1e9));
                }
            }
        }
    }

    /// <summary>Of one thread's work the processor time counts: what other processes take of a busy machine does not.</summary>
    private static double ProcessorSeconds(Action action)
    {
        TimeSpan start = Environment.CpuUsage.TotalTime;
        action();
        return (Environment.CpuUsage.TotalTime - start).TotalSeconds;
    }

    private enum Kind
    {
        OnnxRuntime,
        Float32,
        BFloat16,
    }

    /// <summary>width → inner → width …, a session of one thread.</summary>
    private sealed class Chain : IDisposable
    {
        // Pairs of products: their weights are several times a large last-level cache.
        private const int Pairs = 2;

        private readonly int _width;
        private readonly InferenceSession _session;

        public Chain(BenchmarkModels models, Kind kind, int width, int inner)
        {
            Kind = kind;
            _width = width;
            string folder = models.Scratch($"matmul-{kind}-{width}");
            Directory.CreateDirectory(folder);
            ExternalData data = new("weights.data");
            GraphBuilder graph = new("matmul", data);
            Value x = graph.Input("x", ElementType.Float, "M", width);
            for (int i = 0; i < 2 * Pairs; i++)
            {
                (int n, int k) = i % 2 == 0 ? (inner, width) : (width, inner);
                NoiseTensor weight = new($"weight{i}", kind == Kind.BFloat16 ? ElementType.Bfloat16 : ElementType.Float, i, kind == Kind.OnnxRuntime ? [k, n] : [n, k]);
                if (kind == Kind.OnnxRuntime)
                {
                    graph.Node(GraphBuilder.OnnxDomain, "MatMul", [x, graph.Weight(weight.Key, weight)], [$"y{i}"]);
                    x = new Value($"y{i}");
                }
                else
                {
                    x = graph.MatMul(x, graph.Weight(weight.Key, new PanelTensor(weight)), $"y{i}");
                }
            }

            graph.Output(x, ElementType.Float, "M", width);
            data.Write(Path.Combine(folder, "weights.data"), null, CancellationToken.None);
            string path = Path.Combine(folder, "model.onnx");
            File.WriteAllBytes(path, graph.Build("benchmark").ToByteArray());
            using SessionOptions options = new() { IntraOpNumThreads = 1, InterOpNumThreads = 1 };
            options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
            _session = new InferenceSession(path, options);
        }

        public Kind Kind { get; }

        public string Label => Kind switch
        {
            Kind.OnnxRuntime => "ONNX Runtime float32",
            Kind.Float32 => "longcat float32",
            _ => "longcat bfloat16",
        };

        /// <summary>Seconds for one product.</summary>
        public double Seconds(float[] input, int rows)
        {
            using OrtValue value = OrtValue.CreateTensorValueFromMemory(input, [rows, _width]);
            using RunOptions options = new();
            return ProcessorSeconds(() => _session.Run(options, ["x"], [value], _session.OutputNames).Dispose()) / (2 * Pairs);
        }

        public void Dispose() => _session.Dispose();
    }

    /// <summary>Seeded values of a size that keeps the chain's activations near 1; distinct, so that memory is read and not one cached page.</summary>
    private sealed class NoiseTensor(string key, ElementType type, int seed, params long[] shape) : TensorSource(key, type, shape)
    {
        public override void CopyTo(Stream destination)
        {
            long row = Shape[1];
            float scale = MathF.Sqrt(3f / row);
            for (long i = 0; i < Shape[0]; i++)
            {
                float[] values = Noise.Floats((int)row, HashCode.Combine(seed, i), scale);
                destination.Write(Type == ElementType.Float
                    ? MemoryMarshal.AsBytes<float>(values)
                    : MemoryMarshal.AsBytes<ushort>([.. values.Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16))]));
            }
        }
    }

    private static class Noise
    {
        public static float[] Floats(int count, int seed, float scale = 1)
        {
            ulong state = ((ulong)(uint)seed * 0x9E3779B97F4A7C15) + 1;
            float[] values = new float[count];
            for (int i = 0; i < count; i++)
            {
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                values[i] = (((state >> 40) * (2f / (1 << 24))) - 1) * scale;
            }

            return values;
        }
    }
}
