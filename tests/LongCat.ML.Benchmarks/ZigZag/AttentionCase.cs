using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Benchmarks.ZigZag;

/// <summary>
/// One sequence of which the last tokens are new, given to both operators with the same numbers. Both write their cache in place, and both go
/// round several caches, so that what they read comes from memory.
/// </summary>
internal sealed class AttentionCase : IDisposable
{
    private const int Page = 16;
    private const long CacheBytes = 256L << 20;

    private readonly InferenceSession _ours, _theirs;
    private readonly OrtIoBinding[] _ourRounds, _theirRounds;
    private readonly List<IDisposable> _owned = [];
    private readonly RunOptions _run = new();
    private readonly int _heads, _kvHeads, _dim, _fresh, _context;
    private readonly float[] _ourOutput, _theirOutput;

    public AttentionCase(int heads, int kvHeads, int dim, int fresh, int context, int threads)
    {
        (_heads, _kvHeads, _dim, _fresh, _context) = (heads, kvHeads, dim, fresh, context);
        float scale = 1 / MathF.Sqrt(dim);
        Random random = new(1);
        float[] query = Floats(fresh * heads * dim), key = Floats(fresh * kvHeads * dim), value = Floats(fresh * kvHeads * dim);
        float[] frequencies = [.. Enumerable.Range(0, dim / 2).Select(i => MathF.Pow(10000, -2f * i / dim))];
        _ourOutput = new float[query.Length];
        _theirOutput = new float[query.Length];
        int half = kvHeads * context * dim, rounds = (int)Math.Clamp(CacheBytes / (half * 8L), 1, 64);
        float[] keys = Floats(half), values = Floats(half);

        _ours = Session(threads, true, graph =>
        {
            Value[] inputs =
            [
                graph.Input("query", ElementType.Float, fresh, heads * dim), graph.Input("key", ElementType.Float, fresh, kvHeads * dim),
                graph.Input("value", ElementType.Float, fresh, kvHeads * dim), Value.None, Value.None, graph.Input("inv_freq", ElementType.Float, dim / 2),
                graph.Input("position_ids", ElementType.Int64, fresh), graph.Input("query_start", ElementType.Int32, 2),
                graph.Input("context_length", ElementType.Int32, 1), graph.Input("block_table", ElementType.Int32, 1, context / Page),
                graph.Input("cache", ElementType.Float, context / Page, Page, 2 * kvHeads * dim),
            ];
            graph.Node(
                "longcat", "PagedAttention", inputs, ["output", "cache_out"], NodeAttribute.Int("num_heads", heads), NodeAttribute.Int("num_kv_heads", kvHeads),
                NodeAttribute.Int("head_dim", dim), NodeAttribute.Float("epsilon", 0), NodeAttribute.Float("softmax_scale", scale),
                NodeAttribute.Float("rope_multiplier", 1), NodeAttribute.String("pattern", "full"));
            graph.Output(new Value("output"), ElementType.Float, fresh, heads * dim);
            graph.Output(new Value("cache_out"), ElementType.Float, context / Page, Page, 2 * kvHeads * dim);
        });
        // Pages in an order of their own, as after some time of serving.
        int[] table = [.. Enumerable.Range(0, context / Page)];
        random.Shuffle(table);
        _ourRounds = [.. Enumerable.Range(0, rounds).Select(_ =>
        {
            OrtIoBinding binding = Binding(_ours);
            Bind(binding, "query", query, fresh, heads * dim);
            Bind(binding, "key", key, fresh, kvHeads * dim);
            Bind(binding, "value", value, fresh, kvHeads * dim);
            Bind(binding, "inv_freq", frequencies, dim / 2);
            Bind(binding, "position_ids", Enumerable.Range(context - fresh, fresh).Select(position => (long)position).ToArray(), fresh);
            Bind(binding, "query_start", new[] { 0, fresh }, 2);
            Bind(binding, "context_length", new[] { context }, 1);
            Bind(binding, "block_table", table, 1, context / Page);
            OrtValue cache = Tensor(Paged(keys, values, table), context / Page, Page, 2 * kvHeads * dim);
            binding.BindInput("cache", cache);
            binding.BindOutput("cache_out", cache);
            binding.BindOutput("output", Tensor(_ourOutput, fresh, heads * dim));
            return binding;
        })];

        _theirs = Session(threads, false, graph =>
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
        _theirRounds = [.. Enumerable.Range(0, rounds).Select(_ =>
        {
            OrtIoBinding binding = Binding(_theirs);
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

            binding.BindOutput("output", Tensor(_theirOutput, 1, fresh, heads * dim));
            return binding;
        })];

        float[] Floats(int count) => [.. Enumerable.Range(0, count).Select(_ => (random.NextSingle() * 2) - 1)];
    }

    /// <summary>One run of ours (0) or of ONNX Runtime's (1) over the caches of that turn.</summary>
    public void Run(int contestant, int turn)
    {
        (InferenceSession session, OrtIoBinding[] rounds) = contestant == 0 ? (_ours, _ourRounds) : (_theirs, _theirRounds);
        session.RunWithBinding(_run, rounds[turn % rounds.Length]);
    }

    /// <summary>The largest difference between the two outputs.</summary>
    public float Difference() => _ourOutput.Zip(_theirOutput, (a, b) => MathF.Abs(a - b)).Max();

    public void Dispose()
    {
        _owned.ForEach(owned => owned.Dispose());
        _ours.Dispose();
        _theirs.Dispose();
        _run.Dispose();
    }

    // [kv head, position, dim] into the layout of longcat/paged_attention.h with pages of 16.
    private float[] Paged(float[] keys, float[] values, int[] table)
    {
        float[] cache = new float[2 * keys.Length];
        for (int head = 0; head < _kvHeads; head++)
        {
            for (int position = 0; position < _context; position++)
            {
                int from = ((table[position / Page] * _kvHeads) + head) * 2 * Page * _dim, slot = position % Page, line = ((head * _context) + position) * _dim;
                for (int i = 0; i < _dim; i++)
                {
                    cache[from + (i * Page) + slot] = keys[line + i];
                    cache[from + ((Page + slot) * _dim) + i] = values[line + i];
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
