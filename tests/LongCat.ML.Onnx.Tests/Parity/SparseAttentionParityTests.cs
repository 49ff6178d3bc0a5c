using System.Text.Json;
using LongCat.ML.Native;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Both attentions with pattern <c>streaming</c> against the golden outputs, through ONNX Runtime: the tokens before a case's query rows are one step,
/// its rows are the next. Pages that those no longer see are -1 in the block table, and their numbers are NaN.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class SparseAttentionParityTests(ITestOutputHelper output)
{
    // What the fixtures' own README asks for.
    private const double Tolerance = 5e-6;

    public static TheoryData<string, string, int> Cases
    {
        get
        {
            TheoryData<string, string, int> cases = [];
            foreach (string name in (string[])["toy", "toy_chunk", "full", "full_chunk", "full_decode", "full_decode_one"])
            {
                foreach (string kernel in KernelPath.Supported)
                {
                    cases.Add(name, kernel, name.StartsWith("toy", StringComparison.Ordinal) ? 3 : 64);
                    cases.Add(name, kernel, 16);
                }
            }

            return cases;
        }
    }

    /// <summary>Keys and values of different widths are both padded with zeros to the wider one: they add nothing to any sum. Nothing is rotated.</summary>
    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void Paged_attention_gives_the_golden_rows(string name, string kernel, int page)
    {
        Case golden = new(name, page);
        int dim = Math.Max(golden.KeyWidth, golden.ValueWidth), width = golden.Heads * dim;
        AttributeProto[] attributes =
        [
            NodeAttribute.Int("num_heads", golden.Heads), NodeAttribute.Int("num_kv_heads", golden.Heads), NodeAttribute.Int("head_dim", dim),
            NodeAttribute.Int("rotary_dim", 2), NodeAttribute.Float("epsilon", 1e-6), NodeAttribute.Float("softmax_scale", golden.Scale),
            NodeAttribute.Float("rope_multiplier", 1), .. golden.Pattern,
        ];
        float[] query = Widened(golden.Query, golden.KeyWidth, dim), key = Widened(golden.Key, golden.KeyWidth, dim), value = Widened(golden.Value, golden.ValueWidth, dim);
        float[] rows = golden.Run("PagedAttention", kernel, 2 * width, attributes, (from, to) =>
        [
            new("query", query[(from * width)..(to * width)], to - from, width), new("key", key[(from * width)..(to * width)], to - from, width),
            new("value", value[(from * width)..(to * width)], to - from, width), null, null, new("inv_freq", [0], 1),
        ]);
        golden.Compare(output, [.. rows.Chunk(dim).SelectMany(head => head[..golden.ValueWidth])]);
    }

    /// <summary>
    /// The latent of a token is [keys of all heads | values of all heads | filler], and kv_b picks each head's own out of it. The latent norm would
    /// scale every token by its own length: the filler makes all of them equally long, and latent_scale takes the rest away.
    /// </summary>
    [GoldenTheory]
    [MemberData(nameof(Cases))]
    public void Latent_attention_gives_the_golden_rows(string name, string kernel, int page)
    {
        const int Rope = 2;
        Case golden = new(name, page);
        int heads = golden.Heads, keys = heads * golden.KeyWidth, values = heads * golden.ValueWidth, rank = keys + values + 1, width = rank + Rope;
        int tokens = golden.Key.Length / keys, queryWidth = heads * (golden.KeyWidth + Rope), rowsOfHead = golden.KeyWidth + golden.ValueWidth;
        float[][] latents =
        [
            .. Enumerable.Range(0, tokens).Select(t => (float[])[.. golden.Key.AsSpan(t * keys, keys), .. golden.Value.AsSpan(t * values, values), 0, 0, 0]),
        ];
        double longest = latents.Max(line => line.Sum(x => (double)x * x)) + 1;
        foreach (float[] line in latents)
        {
            line[rank - 1] = (float)Math.Sqrt(longest - line.Sum(x => (double)x * x));
        }

        float[] projection = new float[heads * rowsOfHead * rank], norm = new float[rank];
        norm.AsSpan().Fill(1);
        for (int row = 0; row < heads * rowsOfHead; row++)
        {
            (int head, int i) = (row / rowsOfHead, row % rowsOfHead);
            projection[(row * rank) + (i < golden.KeyWidth ? (head * golden.KeyWidth) + i : keys + (head * golden.ValueWidth) + i - golden.KeyWidth)] = 1;
        }

        AttributeProto[] attributes =
        [
            NodeAttribute.Int("num_heads", heads), NodeAttribute.Int("qk_nope_head_dim", golden.KeyWidth), NodeAttribute.Int("qk_rope_head_dim", Rope),
            NodeAttribute.Int("v_head_dim", golden.ValueWidth), NodeAttribute.Int("kv_lora_rank", rank), NodeAttribute.Float("epsilon", 0),
            NodeAttribute.Float("query_scale", 1), NodeAttribute.Float("latent_scale", Math.Sqrt(longest / rank)), NodeAttribute.Float("softmax_scale", golden.Scale),
            NodeAttribute.Float("rope_multiplier", 1), .. golden.Pattern,
        ];
        float[] query = Widened(golden.Query, golden.KeyWidth, golden.KeyWidth + Rope), latent = [.. latents.SelectMany(line => line)];
        float[] rows = golden.Run("LatentAttention", kernel, width, attributes, (from, to) =>
        [
            new("query", query[(from * queryWidth)..(to * queryWidth)], to - from, queryWidth), new("latent", latent[(from * width)..(to * width)], to - from, width),
            new("latent_norm", norm, rank), new("kv_b", projection, heads * rowsOfHead, rank), new("inv_freq", [0], 1),
        ]);
        golden.Compare(output, rows);
    }

    // Every head behind the first `width` values gets zeros.
    private static float[] Widened(float[] values, int width, int to) => [.. values.Chunk(width).SelectMany(head => head.Concat(new float[to - width]))];

    private sealed record Tensor(string Name, float[] Data, params long[] Shape);

    private sealed class Case
    {
        private readonly string _name;
        private readonly int _page, _begin, _end, _block, _sinks, _local;
        private readonly float[] _expected;

        public Case(string name, int page)
        {
            (_name, _page) = (name, page);
            using JsonDocument cases = JsonDocument.Parse(File.ReadAllText(GoldenFixtures.Path("sparse-attention", "cases.json")));
            JsonElement parameters = cases.RootElement.GetProperty(name);
            int Number(string key) => parameters.GetProperty(key).GetInt32();
            (Heads, KeyWidth, ValueWidth, Scale) = (Number("heads"), Number("qk_dim"), Number("v_dim"), parameters.GetProperty("softmax_scale").GetDouble());
            (_block, _sinks, _local) = (Number("block_size"), Number("sink_blocks"), Number("local_blocks"));
            (_begin, _end) = (parameters.GetProperty("query_rows")[0].GetInt32(), parameters.GetProperty("query_rows")[1].GetInt32());
            string source = parameters.GetProperty("inputs_from").GetString()!;
            using Golden golden = new(new Silent(), "sparse-attention", "golden.safetensors");
            (Query, Key, Value, _expected) = (golden.Floats($"{source}.q"), golden.Floats($"{source}.k"), golden.Floats($"{source}.v"), golden.Floats($"{name}.out"));
        }

        public int Heads { get; }

        public int KeyWidth { get; }

        public int ValueWidth { get; }

        public double Scale { get; }

        public float[] Query { get; }

        public float[] Key { get; }

        public float[] Value { get; }

        public AttributeProto[] Pattern =>
        [
            NodeAttribute.String("pattern", "streaming"), NodeAttribute.Int("block_size", _block), NodeAttribute.Int("sink_blocks", _sinks),
            NodeAttribute.Int("local_blocks", _local),
        ];

        /// <summary>The output of the query rows; <paramref name="inputs"/> gives the operator's first inputs for the tokens [from, to), null for one that is absent.</summary>
        public float[] Run(string type, string kernel, int width, AttributeProto[] attributes, Func<int, int, Tensor?[]> inputs)
        {
            using KernelPath path = new(kernel);
            using SessionOptions options = new();
            options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
            using OneNodeModel model = new(
                graph =>
                {
                    Value[] values =
                    [
                        .. inputs(0, 1).Select(input => input is null ? Onnx.Value.None : graph.Input(input.Name, ElementType.Float, [.. input.Shape.Select((size, axis) => axis == 0 ? (Dimension)$"{input.Name}_rows" : size)])),
                        graph.Input("position_ids", ElementType.Int64, "T"), graph.Input("query_start", ElementType.Int32, "S_plus_1"),
                        graph.Input("context_length", ElementType.Int32, "S"), graph.Input("block_table", ElementType.Int32, "S", "B"),
                        graph.Input("cache", ElementType.Float, "pages", "page", width),
                    ];
                    graph.Node("longcat", type, values, ["output", "cache_out"], attributes);
                    graph.Output(new Value("output"), ElementType.Float, "T", "W");
                    graph.Output(new Value("cache_out"), ElementType.Float, "pages", "page", width);
                },
                options);

            int pages = (_end + _page - 1) / _page;
            float[] cache = new float[(pages + 1) * _page * width];
            cache.AsSpan().Fill(float.NaN);
            int[] table = [.. Enumerable.Range(0, pages).Select(b => pages - b)];  // any order but the obvious one; page 0 stays free
            if (_begin > 0)
            {
                Step(0, _begin);
                for (int b = 0; b < pages; b++)
                {
                    if (!Enumerable.Range(b * _page, _page).Any(key => key >= _begin || key / _block < _sinks || key / _block > (_begin / _block) - _local))
                    {
                        cache.AsSpan(table[b] * _page * width, _page * width).Fill(float.NaN);
                        table[b] = -1;
                    }
                }
            }

            return Step(_begin, _end);

            float[] Step(int from, int to)
            {
                List<(string Name, OrtValue Value)> fed = [];
                try
                {
                    fed.AddRange(inputs(from, to).OfType<Tensor>().Select(input => (input.Name, OrtValue.CreateTensorValueFromMemory(input.Data, input.Shape))));
                    fed.Add(("position_ids", OrtValue.CreateTensorValueFromMemory(Enumerable.Range(from, to - from).Select(position => (long)position).ToArray(), [to - from])));
                    fed.Add(("query_start", OrtValue.CreateTensorValueFromMemory(new[] { 0, to - from }, [2])));
                    fed.Add(("context_length", OrtValue.CreateTensorValueFromMemory(new[] { to }, [1])));
                    fed.Add(("block_table", OrtValue.CreateTensorValueFromMemory(table, [1, table.Length])));
                    fed.Add(("cache", OrtValue.CreateTensorValueFromMemory(cache, [pages + 1, _page, width])));
                    using IDisposableReadOnlyCollection<OrtValue> results = model.Run([.. fed]);
                    cache = results[1].GetTensorDataAsSpan<float>().ToArray();
                    return results[0].GetTensorDataAsSpan<float>().ToArray();
                }
                finally
                {
                    fed.ForEach(pair => pair.Value.Dispose());
                }
            }
        }

        public void Compare(ITestOutputHelper output, float[] actual)
        {
            using Golden golden = new(output, "sparse-attention", "golden.safetensors");
            golden.Compare(_name, _expected, actual, Tolerance);
        }
    }

    private sealed class Silent : ITestOutputHelper
    {
        public void WriteLine(string message)
        {
        }

        public void WriteLine(string format, params object[] args)
        {
        }
    }
}
