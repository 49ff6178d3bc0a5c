using System.Runtime.CompilerServices;
using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// One sequence of which the last tokens are new, given with the same numbers to PagedAttention over a float32 and over a bfloat16 cache and to ONNX Runtime's
/// GroupQueryAttention. All write their cache in place, and all go round several caches, so that what they read comes from memory.
/// </summary>
internal sealed class AttentionCase : IDisposable
{
    private const int Page = 16;
    private const long CacheBytes = 256L << 20;

    private readonly (InferenceSession Session, OrtIoBinding[] Rounds, float[] Output)[] _contestants;
    private readonly List<IDisposable> _owned = [];
    private readonly RunOptions _run = new();
    private readonly int _heads, _kvHeads, _dim, _fresh, _context;

    public AttentionCase(int heads, int kvHeads, int dim, int fresh, int context, int threads)
    {
        (_heads, _kvHeads, _dim, _fresh, _context) = (heads, kvHeads, dim, fresh, context);
        float scale = 1 / MathF.Sqrt(dim);
        Random random = new(1);
        float[] query = Floats(fresh * heads * dim), key = Floats(fresh * kvHeads * dim), value = Floats(fresh * kvHeads * dim);
        float[] frequencies = [.. Enumerable.Range(0, dim / 2).Select(i => MathF.Pow(10000, -2f * i / dim))];
        int half = kvHeads * context * dim;
        float[] keys = Floats(half), values = Floats(half);

        // Pages in an order of their own, as after some time of serving.
        int[] table = [.. Enumerable.Range(0, context / Page)];
        random.Shuffle(table);
        _contestants = [Ours(ElementType.Float, x => x), Ours(ElementType.Bfloat16, ToBFloat16), Theirs()];

        (InferenceSession, OrtIoBinding[], float[]) Ours<T>(ElementType type, Func<float, T> convert)
            where T : unmanaged
        {
            InferenceSession session = Session(threads, true, graph =>
            {
                Value[] inputs =
                [
                    graph.Input("query", ElementType.Float, fresh, heads * dim), graph.Input("key", ElementType.Float, fresh, kvHeads * dim),
                    graph.Input("value", ElementType.Float, fresh, kvHeads * dim), Value.None, Value.None, graph.Input("inv_freq", ElementType.Float, dim / 2),
                    graph.Input("position_ids", ElementType.Int64, fresh), graph.Input("query_start", ElementType.Int32, 2),
                    graph.Input("context_length", ElementType.Int32, 1), graph.Input("block_table", ElementType.Int32, 1, context / Page),
                    graph.Input("cache", type, context / Page, Page, 2 * kvHeads * dim),
                ];
                graph.Node(
                    "longcat", "PagedAttention", inputs, ["output", "cache_out"], NodeAttribute.Int("num_heads", heads), NodeAttribute.Int("num_kv_heads", kvHeads),
                    NodeAttribute.Int("head_dim", dim), NodeAttribute.Float("epsilon", 0), NodeAttribute.Float("softmax_scale", scale),
                    NodeAttribute.Float("rope_multiplier", 1), NodeAttribute.String("pattern", "full"));
                graph.Output(new Value("output"), ElementType.Float, fresh, heads * dim);
                graph.Output(new Value("cache_out"), type, context / Page, Page, 2 * kvHeads * dim);
            });
            float[] output = new float[query.Length];
            return (session, [.. Enumerable.Range(0, Rounds(half * 2L * Unsafe.SizeOf<T>())).Select(_ =>
            {
                OrtIoBinding binding = Binding(session);
                Bind(binding, "query", query, fresh, heads * dim);
                Bind(binding, "key", key, fresh, kvHeads * dim);
                Bind(binding, "value", value, fresh, kvHeads * dim);
                Bind(binding, "inv_freq", frequencies, dim / 2);
                Bind(binding, "position_ids", Enumerable.Range(context - fresh, fresh).Select(position => (long)position).ToArray(), fresh);
                Bind(binding, "query_start", new[] { 0, fresh }, 2);
                Bind(binding, "context_length", new[] { context }, 1);
                Bind(binding, "block_table", table, 1, context / Page);
                OrtValue cache = Tensor(Paged(keys, values, table, convert), context / Page, Page, 2 * kvHeads * dim);
                binding.BindInput("cache", cache);
                binding.BindOutput("cache_out", cache);
                binding.BindOutput("output", Tensor(output, fresh, heads * dim));
                return binding;
            })], output);
        }

        (InferenceSession, OrtIoBinding[], float[]) Theirs()
        {
            InferenceSession session = Session(threads, false, graph =>
            {
                Value[] inputs =
                [
                    graph.Input("query", ElementType.Float, 1, fresh, heads * dim), graph.Input("key", ElementType.Float, 1, fresh, kvHeads * dim),
                    graph.Input("value", ElementType.Float, 1, fresh, kvHeads * dim), graph.Input("past_key", ElementType.Float, 1, kvHeads, context, dim),
                    graph.Input("past_value", ElementType.Float, 1, kvHeads, context, dim), graph.Input("seqlens_k", ElementType.Int32, 1),
                    graph.Input("total", ElementType.Int32, 1), graph.Input("cosine", ElementType.Float, context, dim / 2), graph.Input("sine", ElementType.Float, context, dim / 2),
                ];
                graph.Node(
                    "com.microsoft", "GroupQueryAttention", inputs, ["output", "present_key", "present_value"], NodeAttribute.Int("num_heads", heads),
                    NodeAttribute.Int("kv_num_heads", kvHeads), NodeAttribute.Int("do_rotary", 1), NodeAttribute.Float("scale", scale));
                graph.Output(new Value("output"), ElementType.Float, 1, fresh, heads * dim);
                graph.Output(new Value("present_key"), ElementType.Float, 1, kvHeads, context, dim);
                graph.Output(new Value("present_value"), ElementType.Float, 1, kvHeads, context, dim);
            });

            float[] angles = [.. Enumerable.Range(0, context).SelectMany(position => frequencies.Select(frequency => position * frequency))];
            float[] output = new float[query.Length];
            return (session, [.. Enumerable.Range(0, Rounds(half * 2L * sizeof(float))).Select(_ =>
            {
                OrtIoBinding binding = Binding(session);
                Bind(binding, "query", query, 1, fresh, heads * dim);
                Bind(binding, "key", key, 1, fresh, kvHeads * dim);
                Bind(binding, "value", value, 1, fresh, kvHeads * dim);
                Bind(binding, "seqlens_k", new[] { context - 1 }, 1);
                Bind(binding, "total", new[] { context }, 1);
                Bind(binding, "cosine", angles.Select(MathF.Cos).ToArray(), context, dim / 2);
                Bind(binding, "sine", angles.Select(MathF.Sin).ToArray(), context, dim / 2);
                foreach ((string name, float[] data) in new[] { ("key", keys), ("value", values) })
                {
                    OrtValue cache = Tensor([.. data], 1, kvHeads, context, dim);
                    binding.BindInput("past_" + name, cache);
                    binding.BindOutput("present_" + name, cache);
                }

                binding.BindOutput("output", Tensor(output, 1, fresh, heads * dim));
                return binding;
            })], output);
        }

        float[] Floats(int count) => [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
    }

    /// <summary>One run of ours with a float32 (0) or a bfloat16 cache (1) or of ONNX Runtime's (2) over the caches of that turn.</summary>
    public void Run(int contestant, int turn)
    {
        (InferenceSession session, OrtIoBinding[] rounds, _) = _contestants[contestant];
        session.RunWithBinding(_run, rounds[turn % rounds.Length]);
    }

    /// <summary>The largest difference between the output of one of them and of ONNX Runtime's.</summary>
    public float Difference(int contestant) => _contestants[contestant].Output.Zip(_contestants[^1].Output, (a, b) => MathF.Abs(a - b)).Max();

    public void Dispose()
    {
        _owned.ForEach(owned => owned.Dispose());
        Array.ForEach(_contestants, contestant => contestant.Session.Dispose());
        _run.Dispose();
    }

    // How many caches of that size there are to go round.
    private static int Rounds(long bytes) => (int)Math.Clamp(CacheBytes / bytes, 1, 64);

    // To the nearest, ties to even.
    private static BFloat16 ToBFloat16(float x)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x);
        return new BFloat16((ushort)((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
    }

    // [kv head, position, dim] into the layout of longcat/paged_attention.h with pages of 16.
    private T[] Paged<T>(float[] keys, float[] values, int[] table, Func<float, T> convert)
    {
        T[] cache = new T[2 * keys.Length];
        for (int head = 0; head < _kvHeads; head++)
        {
            for (int position = 0; position < _context; position++)
            {
                int from = ((table[position / Page] * _kvHeads) + head) * 2 * Page * _dim, slot = position % Page, line = ((head * _context) + position) * _dim;
                for (int i = 0; i < _dim; i++)
                {
                    cache[from + (i * Page) + slot] = convert(keys[line + i]);
                    cache[from + ((Page + slot) * _dim) + i] = convert(values[line + i]);
                }
            }
        }

        return cache;
    }

    private static InferenceSession Session(int threads, bool longcat, Action<GraphBuilder> build)
    {
        GraphBuilder graph = new("attention", new ExternalData("none"));
        build(graph);
        using SessionOptions options = new() { IntraOpNumThreads = threads };

        // Its threads would go on spinning while the other one is measured.
        options.AddSessionConfigEntry("session.force_spinning_stop", "1");
        if (longcat)
        {
            options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        }

        return new InferenceSession(graph.Build("benchmark").ToByteArray(), options);
    }

    private OrtIoBinding Binding(InferenceSession session)
    {
        OrtIoBinding binding = session.CreateIoBinding();
        _owned.Add(binding);
        return binding;
    }

    private OrtValue Tensor<T>(T[] data, params long[] shape)
        where T : unmanaged
    {
        OrtValue value = OrtValue.CreateTensorValueFromMemory(data, shape);
        _owned.Add(value);
        return value;
    }

    private void Bind<T>(OrtIoBinding binding, string name, T[] data, params long[] shape)
        where T : unmanaged => binding.BindInput(name, Tensor(data, shape));
}
