using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>Draws valid inputs of every operator, empty dimensions among them, and lists how each can be spoiled.</summary>
internal static partial class FuzzCases
{
    public static FuzzCase MatMul(Random random)
    {
        int k = Size(random, 40), n = Size(random, 60), m = Size(random, 20);
        bool threeDimensions = random.Next(2) == 0, panels = n > 0 && random.Next(2) == 0;
        long[] leading = threeDimensions ? [m, 2] : [m];
        long rows = threeDimensions ? 2 * m : m;
        Feed weights = Weights(random, "B", n, k);
        Feed[] inputs =
        [
            new("A", random.Floats(rows * k), [.. leading, k]), panels ? InPanels(weights) : weights, new("bias", random.Floats(n), n),
            new("residual", random.Floats(rows * n), [.. leading, n]),
        ];
        List<Spoiling> spoilings =
        [
            Resize("A", k + 2, "input 0 (A)", axis: leading.Length), Resize("bias", n + 1, "input 2 (bias)"),
            Resize("residual", 1, "input 3 (residual)", axis: leading.Length), Rank("B", "input 1 (B)"), Rank("bias", "input 2 (bias)"),
            Type("B", "input 1 (B)"), Scalar("A", "input 0 (A)"),
        ];
        if (panels)
        {
            long[] shape = inputs[1].Shape;
            spoilings.AddRange(
            [
                new("input 1 (B)", fuzz => Change(fuzz, "B", old => Sized(old, [shape[0] + 1, .. shape[1..]]))),
                new("input 1 (B)", fuzz => Change(fuzz, "B", old => Sized(old, [shape[0] - 1, .. shape[1..]]))),
                new("input 1 (B)", fuzz => Change(fuzz, "B", old => Sized(old, [shape[0], shape[1], 15, .. shape[3..]]))),
                new("input 0 (A)", fuzz => Change(fuzz, "B", old => Sized(old, [shape[0], shape[1] + 1, .. shape[2..]]))),
            ]);
        }
        else
        {
            spoilings.Add(Resize("B", n, k + 1, "input 1 (B)"));
        }

        return new FuzzCase(
            "MatMul", inputs, [("Y", ElementType.Float)],
            panels ? [NodeAttribute.Int("layout", 1), NodeAttribute.Int("out_features", n)] : random.Next(2) == 0 ? [NodeAttribute.Int("layout", 0)] : [],
            [.. spoilings], $"A [{string.Join(", ", leading)}, {k}], B [{n}, {k}] {inputs[1].Type}{(panels ? " in panels" : "")}");
    }

    public static FuzzCase NGramEmbedding(Random random)
    {
        int vocabulary = random.Next(3, 50), hidden = random.Next(1, 70), width = random.Next(1, 20), neighbors = random.Next(2, 5), splits = random.Next(1, 4);
        int[] lengths = Lengths(random);
        int tokens = lengths.Sum(), tables = splits * (neighbors - 1);
        long[] moduli = [.. Enumerable.Range(0, tables).Select(_ => (long)random.Next(1, 40))];
        long[] history = [.. Enumerable.Range(0, lengths.Length * (neighbors - 1)).Select(_ => random.Next(-1, vocabulary)).Select(id => (long)id)];
        List<Feed> inputs =
        [
            new("input_ids", Enumerable.Range(0, tokens).Select(_ => (long)random.Next(vocabulary)).ToArray(), tokens), Starts(lengths),
            new("ngram_context", history, lengths.Length, neighbors - 1), Weights(random, "word", vocabulary, hidden),
        ];
        bool integers = random.Next(3) == 0;
        inputs.AddRange(moduli.Select((modulus, i) => (Name: $"table{i}", Rows: (int)modulus + random.Next(3)))
            .Select(table => integers ? ScaledRows(random, table.Name, table.Rows, width) : Weights(random, table.Name, table.Rows, width)));
        bool panels = random.Next(2) == 0;
        inputs.AddRange(moduli.Select((_, i) => Weights(random, $"projection{i}", hidden, width)).Select(feed => panels ? InPanels(feed) : feed));
        long[] last = [.. inputs[^1].Shape];
        List<Spoiling> spoilings =
        [
            Resize("query_start", 0, "input 1 (query_start)"), Value("query_start", 0, 1, "query_start[0]"), Value("query_start", lengths.Length, -1, "query_start["),
            Value("query_start", lengths.Length, tokens + 1, "query_start["), Resize("ngram_context", lengths.Length + 1, neighbors - 1, "input 2 (ngram_context)"),
            Resize("ngram_context", lengths.Length, neighbors, "input 2 (ngram_context)"), Rank("input_ids", "input 0 (input_ids)"), Rank("word", "input 3 (word)"),
            Type("word", "input 3 (word)"), Resize("table0", (int)moduli[0] - 1, integers ? width + 4 : width, "table_rows[0]"),
            Type($"table{tables - 1}", "(table)"),
            new("(projection)", fuzz => Change(fuzz, $"projection{tables - 1}", old => Sized(old, [last[0] + 1, .. last[1..]]))),
            new("(projection)", fuzz => Change(fuzz, $"projection{tables - 1}", old => Sized(old, [last[0], last[1] + 1, .. last[2..]]))),
            Resize("word", vocabulary, 0, "(projection)"), Type($"projection{tables - 1}", "(projection)"),
        ];
        if (tokens > 0)
        {
            int at = random.Next(tokens);
            long[] outside = [-1, long.MinValue, long.MaxValue, vocabulary];
            spoilings.AddRange(outside.Select(id => Value("input_ids", at, id, $"input_ids[{at}] is token {id}")));
        }

        if (history.Length > 0)
        {
            int at = random.Next(history.Length);
            spoilings.AddRange([Value("ngram_context", at, -2, "ngram_context["), Value("ngram_context", at, vocabulary, "ngram_context[")]);
        }

        return new FuzzCase(
            "NGramEmbedding", [.. inputs], [("embedding", ElementType.Float)],
            [
                NodeAttribute.Int("hash_vocab_size", vocabulary), NodeAttribute.Int("neighbor_num", neighbors), NodeAttribute.Int("split_num", splits),
                NodeAttribute.Int("eos_token_id", random.Next(3)), NodeAttribute.Ints("table_rows", moduli), NodeAttribute.String("fusion", "mean"),
                NodeAttribute.Int("layout", panels ? 1 : 0), .. integers ? [NodeAttribute.String("table_type", "int8")] : Array.Empty<AttributeProto>(),
            ],
            [.. spoilings], $"{tokens} tokens of {lengths.Length} sequences, {tables} {(integers ? "int8 " : "")}tables of width {width}, hidden {hidden}{(panels ? ", panels" : "")}");
    }

    public static FuzzCase LatentAttention(Random random)
    {
        int heads = random.Next(1, 20), nope = random.Next(1, 12), rope = 2 * random.Next(1, 6), value = random.Next(1, 12), rank = random.Next(1, 40);
        int width = rank + rope, page = random.Next(1, 9);
        PagedStep step = new(random, page);
        int tokens = step.Tokens;
        Feed cache = Cache(random, random.Next(3), step.Pages, page, width, 8, values: width, scales: 2);
        Feed[] inputs =
        [
            new("query", random.Floats(tokens * heads * (nope + rope)), tokens, heads * (nope + rope)), new("latent", random.Floats(tokens * width), tokens, width),
            new("latent_norm", random.Floats(rank), rank), Weights(random, "kv_b", heads * (nope + value), rank),
            new("inv_freq", random.Floats(rope / 2), rope / 2), .. step.Feeds,
            cache,
        ];
        List<Spoiling> spoilings =
        [
            Resize("query", tokens, (heads * (nope + rope)) + 1, "input 0 (query)"), Resize("query", tokens + 1, heads * (nope + rope), "input 1 (latent)"),
            Resize("latent", tokens, width + 1, "input 1 (latent)"), Resize("latent_norm", rank + 1, "input 2 (latent_norm)"), Type("kv_b", "input 3 (kv_b)"),
            Resize("kv_b", heads * (nope + value), rank + 1, "input 3 (kv_b)"), Resize("inv_freq", rope, "input 4 (inv_freq)"),
            .. step.Spoilings(5), Rank("cache", "input 9 (cache)"),
            new("input 9 (cache)", fuzz => Change(fuzz, "cache", old => Sized(old, step.Pages, page, cache.Shape[2] - 1))),
            new("cache 1 pages of 0", fuzz => Change(fuzz, "cache", old => Sized(old, 1, 0, cache.Shape[2]))),
        ];
        if (tokens > 0)
        {
            spoilings.Add(new("block_table[", fuzz => Change(fuzz, "cache", old => Sized(old, 0, page, cache.Shape[2]))));
        }

        Feed?[] adapted = WithAdapters(random, inputs, step.Lengths, heads * (nope + value), rank, spoilings);
        (Feed?[] all, (string, ElementType)[] outputs, AttributeProto[] sparse) = WithSparseBlocks(random, adapted, 13, 1, rank + rope, step, page, spoilings);
        return new FuzzCase(
            "LatentAttention", all, [("output", ElementType.Float), ("cache_out", cache.Type), .. outputs],
            [
                .. sparse,
                NodeAttribute.Int("num_heads", heads), NodeAttribute.Int("qk_nope_head_dim", nope), NodeAttribute.Int("qk_rope_head_dim", rope),
                NodeAttribute.Int("v_head_dim", value), NodeAttribute.Int("kv_lora_rank", rank), NodeAttribute.Float("epsilon", 1e-6),
                NodeAttribute.Float("query_scale", 1.5), NodeAttribute.Float("latent_scale", 2), NodeAttribute.Float("softmax_scale", 0.3),
                NodeAttribute.Float("rope_multiplier", 1), .. step.Pattern,
            ],
            [.. spoilings], $"{tokens} tokens of {step.Sequences} sequences, {heads} heads of {nope} + {rope}, {value}, rank {rank}, pages of {page}, {inputs[9].Type}");
    }

    public static FuzzCase AttentionIndexer(Random random)
    {
        int heads = random.Next(1, 20), dim = random.Next(1, 40), rope = 2 * random.Next(0, (dim / 2) + 1), page = random.Next(3) == 0 ? 16 : random.Next(1, 20);
        int topK = random.Next(1, 20), init = random.Next(0, topK + 1), local = random.Next(0, topK - init + 1);
        PagedStep step = new(random, page, mayStream: false);
        int tokens = step.Tokens;
        bool brain = random.Next(2) == 0;
        Feed[] inputs =
        [
            new("query", random.Floats(tokens * heads * dim), tokens, heads * dim), new("key", random.Floats(tokens * dim), tokens, dim),
            new("weights", random.Floats(tokens * heads), tokens, heads), new("key_norm", random.Floats(dim), dim),
            new("inv_freq", random.Floats(rope / 2), rope / 2), .. step.Feeds,
            new("cache", brain ? Halves(random.Floats(step.Pages * page * dim)) : random.Floats(step.Pages * page * dim), step.Pages, page, dim),
        ];
        List<Spoiling> spoilings =
        [
            Resize("query", tokens, (heads * dim) + 1, "input 0 (query)"), Resize("query", tokens + 1, heads * dim, "input 1 (key)"),
            Resize("key", tokens, dim + 1, "input 1 (key)"), Resize("weights", tokens, heads + 1, "input 2 (weights)"), Rank("weights", "input 2 (weights)"),
            Resize("key_norm", dim + 1, "input 3 (key_norm)"), Resize("inv_freq", rope + 1, "input 4 (inv_freq)"),
            .. step.Spoilings(5), Rank("cache", "input 9 (cache)"),
            new("input 9 (cache)", fuzz => Change(fuzz, "cache", old => Sized(old, step.Pages, page, dim + 1))),
            new("cache 1 pages of 0", fuzz => Change(fuzz, "cache", old => Sized(old, 1, 0, dim))),
        ];
        return new FuzzCase(
            "AttentionIndexer", inputs, [("selected", ElementType.Int32), ("cache_out", brain ? ElementType.Bfloat16 : ElementType.Float)],
            [
                NodeAttribute.Int("num_heads", heads), NodeAttribute.Int("head_dim", dim), NodeAttribute.Int("rope_dim", rope), NodeAttribute.Int("top_k", topK),
                NodeAttribute.Int("init_tokens", init), NodeAttribute.Int("local_tokens", local), NodeAttribute.Float("epsilon", 1e-5), NodeAttribute.Float("rope_multiplier", 1),
            ],
            [.. spoilings], $"{tokens} tokens of {step.Sequences} sequences, {heads} heads of {dim}, rope {rope}, top {topK} ({init}, {local}), pages of {page}, {inputs[9].Type}")
        {
            Exact = true,
        };
    }

    public static FuzzCase PagedAttention(Random random)
    {
        int kvHeads = random.Next(1, 4), heads = kvHeads * random.Next(1, 6), dim = random.Next(2, 40), rotary = 2 * random.Next(1, (dim / 2) + 1);
        int keys = kvHeads * dim, width = 2 * keys, page = random.Next(3) == 0 ? 16 : random.Next(1, 20);
        PagedStep step = new(random, page);
        int tokens = step.Tokens;
        Feed cache = Cache(random, random.Next(3), step.Pages, page, width, kvHeads * 8, values: 2 * page * dim, scales: 2 * page);
        Feed[] inputs =
        [
            new("query", random.Floats(tokens * heads * dim), tokens, heads * dim), new("key", random.Floats(tokens * keys), tokens, keys),
            new("value", random.Floats(tokens * keys), tokens, keys), new("query_norm", random.Floats(dim), dim), new("key_norm", random.Floats(dim), dim),
            new("inv_freq", random.Floats(rotary / 2), rotary / 2), .. step.Feeds,
            cache,
        ];
        List<Spoiling> spoilings =
        [
            Resize("query", tokens, (heads * dim) + 1, "input 0 (query)"), Resize("query", tokens + 1, heads * dim, "input 1 (key)"),
            Resize("key", tokens, keys + 1, "input 1 (key)"), Resize("value", tokens + 1, keys, "input 2 (value)"), Rank("value", "input 2 (value)"),
            Resize("query_norm", dim + 1, "input 3 (query_norm)"), Resize("key_norm", dim - 1, "input 4 (key_norm)"),
            Resize("inv_freq", rotary, "input 5 (inv_freq)"), .. step.Spoilings(6),
            Rank("cache", "input 10 (cache)"), new("input 10 (cache)", fuzz => Change(fuzz, "cache", old => Sized(old, step.Pages, page, cache.Shape[2] - 1))),
            new("cache 1 pages of 0", fuzz => Change(fuzz, "cache", old => Sized(old, 1, 0, cache.Shape[2]))),
        ];
        if (tokens > 0)
        {
            spoilings.Add(new("block_table[", fuzz => Change(fuzz, "cache", old => Sized(old, 0, page, cache.Shape[2]))));
        }

        (Feed?[] all, (string, ElementType)[] outputs, AttributeProto[] sparse) = WithSparseBlocks(random, inputs, 11, kvHeads, keys, step, page, spoilings);
        return new FuzzCase(
            "PagedAttention", all, [("output", ElementType.Float), ("cache_out", cache.Type), .. outputs],
            [
                .. sparse,
                NodeAttribute.Int("num_heads", heads), NodeAttribute.Int("num_kv_heads", kvHeads), NodeAttribute.Int("head_dim", dim),
                NodeAttribute.Int("rotary_dim", rotary), NodeAttribute.Int("interleaved", random.Next(2)), NodeAttribute.Float("epsilon", 1e-6),
                NodeAttribute.Float("softmax_scale", 0.5), NodeAttribute.Float("rope_multiplier", 1.1), NodeAttribute.Int("window", step.IsStreaming || sparse.Length > 0 ? 0 : random.Next(3) * random.Next(30)),
                .. step.Pattern,
            ],
            [.. spoilings], $"{tokens} tokens of {step.Sequences} sequences, {heads} / {kvHeads} heads of {dim}, pages of {page}, {inputs[10].Type}");
    }

    public static FuzzCase ExpertMixture(Random random)
    {
        int experts = random.Next(1, 9), zero = random.Next(0, 4), all = experts + zero, hidden = random.Next(1, 60), inner = random.Next(1, 60);
        int tokens = Size(random, 30), top = random.Next(1, all + 1);
        Feed[] inputs =
        [
            new("x", random.Floats(tokens * hidden), tokens, hidden), new("router", random.Floats(all * hidden), all, hidden),
            new("correction_bias", random.Floats(all), all), Weights(random, "gate", experts, inner, hidden), Weights(random, "up", experts, inner, hidden),
            Weights(random, "down", experts, hidden, inner),
        ];
        bool panels = random.Next(2) == 0;
        if (panels)
        {
            inputs = [.. inputs.Select(input => input.Shape.Length == 3 ? StackInPanels(input) : input)];
        }

        List<Spoiling> spoilings =
        [
            Rank("x", "input 0 (x)"), Resize("x", tokens, hidden + 2, "input 1 (router)"),
            Resize("router", all + 1, hidden, "input 1 (router)"), Resize("correction_bias", all + 1, "input 2 (correction_bias)"),
            Rank("gate", "input 3 (gate)"), Type("gate", "input 3 (gate)"), Type("up", "input 4 (up)"), Type("down", "input 5 (down)"), Rank("up", "input 4 (up)"),
        ];
        foreach ((Feed stack, int i) in inputs.Select((input, i) => (input, i)).Skip(3))
        {
            // An expert too many, and every other axis one longer; without panels the gate's second one says what the others must be.
            spoilings.AddRange(Enumerable.Range(0, stack.Shape.Length).Where(axis => panels || i > 3 || axis != 1).Select(axis => new Spoiling(
                $"input {i} ({stack.Name})",
                fuzz => Change(fuzz, stack.Name, old => Sized(old, [.. old.Shape.Select((size, at) => at == axis ? size + 1 : size)])))));
        }

        Feed?[] adapted = WithExpertAdapters(random, inputs, experts, hidden, inner, tokens, spoilings);
        (adapted, int layer) = WithSkippedExperts(random, adapted, tokens, top, spoilings);
        return new FuzzCase(
            "ExpertMixture", adapted, [("y", ElementType.Float)],
            [
                .. layer < 0 ? Array.Empty<AttributeProto>() : [NodeAttribute.Int("sparse_layer", layer)],
                NodeAttribute.Int("top_k", top), NodeAttribute.Int("num_experts", experts), NodeAttribute.Int("num_zero_experts", zero),
                NodeAttribute.Float("routed_scaling_factor", 1.5), NodeAttribute.Int("normalize", random.Next(2)),
                NodeAttribute.String("zero_expert_type", random.Next(2) == 0 ? "identity" : "drop"),
                .. panels ? [NodeAttribute.Int("layout", 1), NodeAttribute.Int("intermediate_size", inner)] : Array.Empty<AttributeProto>(),
            ],
            [.. spoilings], $"{tokens} tokens of {hidden}, {experts} + {zero} experts of {inner}, top {top}, {inputs[3].Type}{(panels ? " in panels" : "")}");
    }

    // Now and then nothing at all.
    private static int Size(Random random, int most) => random.Next(6) == 0 ? 0 : random.Next(1, most);

    // New tokens per sequence; no sequence, and sequences without new tokens, among them.
    internal static int[] Lengths(Random random) => [.. Enumerable.Range(0, random.Next(5)).Select(_ => Size(random, 9))];

    internal static Feed Starts(int[] lengths) =>
        new("query_start", Enumerable.Range(0, lengths.Length + 1).Select(count => lengths[..count].Sum()).ToArray(), lengths.Length + 1);

    // 0: float32, 1: bfloat16, 2: int8, where every `values` integers are followed by `scales` scales and a token has `more` bytes more than numbers.
    private static Feed Cache(Random random, int kind, int pages, int page, int width, int more, int values, int scales)
    {
        float[] numbers = random.Floats(pages * page * width);
        if (kind < 2)
        {
            return new Feed("cache", kind == 0 ? numbers : Halves(numbers), pages, page, width);
        }

        byte[] bytes = [.. numbers.Chunk(values).SelectMany(row => row.Select(x => (byte)(sbyte)(x * 100)).Concat(
            Enumerable.Range(0, scales).SelectMany(i => BitConverter.GetBytes((1 + MathF.Abs(row[i % row.Length])) / 200))))];
        return new Feed("cache", bytes, pages, page, width + more);
    }

    private static ushort[] Halves(float[] values) => [.. values.Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16))];

    private static Feed Weights(Random random, string name, params long[] shape)
    {
        float[] values = random.Floats(shape.Aggregate(1L, (product, size) => product * size));
        return new Feed(name, random.Next(2) == 0 ? values : Halves(values), shape);
    }

    /// <summary>Row-major [n, k] as panels of 16 outputs, bfloat16 with pairs of k side by side, written out element by element.</summary>
    public static Feed InPanels(Feed rows)
    {
        (int n, int k) = ((int)rows.Shape[0], (int)rows.Shape[1]);
        int panels = (n + 15) / 16, together = rows.Data is float[] ? 1 : 2, steps = (k + together - 1) / together;
        Array data = Array.CreateInstance(rows.Data.GetType().GetElementType()!, panels * steps * 16 * together);
        for (int j = 0; j < n; j++)
        {
            for (int i = 0; i < k; i++)
            {
                data.SetValue(rows.Data.GetValue((j * k) + i), (((((j / 16 * steps) + (i / together)) * 16) + (j % 16)) * together) + (i % together));
            }
        }

        return new Feed(rows.Name, data, together == 1 ? [panels, steps, 16] : [panels, steps, 16, 2]);
    }

    /// <summary>The same for each matrix of a stack.</summary>
    private static Feed StackInPanels(Feed stack)
    {
        (long count, long n, long k) = (stack.Shape[0], stack.Shape[1], stack.Shape[2]);
        Array[] parts = [.. Enumerable.Range(0, (int)count).Select(i =>
        {
            Array rows = Array.CreateInstance(stack.Data.GetType().GetElementType()!, n * k);
            Array.Copy(stack.Data, i * n * k, rows, 0, n * k);
            return InPanels(new Feed(stack.Name, rows, n, k)).Data;
        })];
        Array all = Array.CreateInstance(stack.Data.GetType().GetElementType()!, parts.Sum(part => part.Length));
        for (int i = 0; i < parts.Length; i++)
        {
            parts[i].CopyTo(all, i * parts[i].Length);
        }

        long panels = (n + 15) / 16;
        return new Feed(stack.Name, all, stack.Data is float[] ? [count, panels, k, 16] : [count, panels, (k + 1) / 2, 16, 2]);
    }

    internal static Feed?[] Change(FuzzCase fuzz, string name, Func<Feed, Feed> change) => [.. fuzz.Inputs.Select(feed => feed?.Name == name ? change(feed) : feed)];

    internal static Feed Sized(Feed old, params long[] shape)
    {
        Array data = Array.CreateInstance(old.Data.GetType().GetElementType()!, shape.Aggregate(1L, (product, size) => product * size));
        return new Feed(old.Name, data, shape);
    }

    internal static Spoiling Resize(string name, int size, string named) => new(named, fuzz => Change(fuzz, name, old => Sized(old, size)));

    internal static Spoiling Resize(string name, int rows, int columns, string named) => new(named, fuzz => Change(fuzz, name, old => Sized(old, rows, columns)));

    // One axis of a tensor of any rank: its size becomes another one.
    internal static Spoiling Resize(string name, int size, string named, int axis) => new(
        named, fuzz => Change(fuzz, name, old => Sized(old, [.. old.Shape.Select((known, at) => at != axis ? known : known == size ? size + 1 : size)])));

    // One dimension too many.
    internal static Spoiling Rank(string name, string named) => new(named, fuzz => Change(fuzz, name, old => new Feed(name, old.Data, [.. old.Shape, 1])));

    private static Spoiling Scalar(string name, string named) => new(named, fuzz => Change(fuzz, name, old => Sized(old)));

    private static Spoiling Type(string name, string named) => new(named, fuzz => Change(fuzz, name, old => new Feed(name, new long[old.Data.Length], old.Shape)));

    internal static Spoiling Value(string name, int index, long value, string named) => new(named, fuzz => Change(fuzz, name, old =>
    {
        Array data = (Array)old.Data.Clone();
        data.SetValue(data.GetType() == typeof(byte[]) ? (object)checked((byte)value) : data is int[] ? (object)checked((int)value) : value, index);
        return new Feed(name, data, old.Shape);
    }));
}
