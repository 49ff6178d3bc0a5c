using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// Writes a model with operators of ONNX and com.microsoft only, in the padded layout of ONNX Runtime GenAI: one row of tokens for each sequence,
/// padded on the right. What the families share is here; docs/design.md section 18 lists inputs and outputs.
/// </summary>
internal abstract partial class StandardEmitter(ModelConfig config) : ModelEmitter
{
    protected const string EmbeddingName = "model.embed_tokens.weight";

    private const string HeadModule = "lm_head";

    /// <summary>The draft head needs the packed layout of the longcat operators.</summary>
    public override bool HasDraft(Checkpoint checkpoint) => false;

    public override EmittedModel Emit(Emission emission)
    {
        GraphBuilder graph = new("model", emission.Data);
        IReadOnlyList<CacheLayout> caches = EmitModel(graph, emission.Weights);
        return new EmittedModel(graph, null, caches, null, NgramNeighbors) { OtherFiles = OtherFiles };
    }

    /// <summary>What other runtimes read beside the graph.</summary>
    protected virtual IReadOnlyDictionary<string, byte[]> OtherFiles => new Dictionary<string, byte[]>();

    /// <summary>The longest n-gram, 0 for none.</summary>
    protected virtual int NgramNeighbors => 0;

    /// <summary>Adds everything to the graph.</summary>
    /// <returns>What one token of each attention takes in the caches.</returns>
    protected abstract IReadOnlyList<CacheLayout> EmitModel(GraphBuilder graph, CheckpointWeights weights);

    protected static PaddedInputs EmitInputs(GraphBuilder graph, bool positions)
    {
        Value ids = graph.Input("input_ids", ElementType.Int64, "batch", "sequence");
        Value mask = graph.Input("attention_mask", ElementType.Int64, "batch", "total");
        Value positionIds = positions ? graph.Input("position_ids", ElementType.Int64, "batch", "sequence") : Value.None;
        Value logitsFrom = graph.OptionalInput("logits_from", 0);
        return new PaddedInputs(ids, mask, positionIds, logitsFrom, graph.Size(ids, 0, "batch.size"), graph.Size(mask, 1, "total.size"));
    }

    /// <summary>Whether a key lies in the blocks that a query of a streaming attention sees; that it lies before the query is for others to say.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="position">int64: the queries' positions, with a last dimension of 1.</param>
    /// <param name="slots">int64: the keys' positions in the last dimension.</param>
    protected Value EmitStreamingVisible(GraphBuilder graph, Value position, Value slots)
    {
        StreamingAttentionConfig streaming = config.Streaming!;
        Value keys = graph.Binary("Div", slots, graph.Integer(streaming.BlockSize), "streaming.key_block");
        Value queries = graph.Binary("Div", position, graph.Integer(streaming.BlockSize), "streaming.query_block");
        Value sink = graph.Binary("Less", keys, graph.Integer(streaming.SinkBlocks), "streaming.sink");
        Value local = graph.Binary("Greater", keys, graph.Binary("Sub", queries, graph.Integer(streaming.LocalBlocks), "streaming.first_block"), "streaming.local");
        return graph.Binary("Or", sink, local, "streaming.visible");
    }

    /// <summary>What is added to scores: 0 where a query looks, a very negative number elsewhere.</summary>
    protected static Value EmitBias(GraphBuilder graph, Value visible, string output) => graph.Where(visible, graph.Number(0), graph.Number(float.MinValue), output);

    protected static Value Weight(GraphBuilder graph, CheckpointWeights weights, string name) => graph.Weight(name, weights.Float32(name));

    protected Value EmitNorm(GraphBuilder graph, CheckpointWeights weights, string weight, Value x, string output) =>
        graph.RmsNorm(x, Weight(graph, weights, weight), config.RmsNormEps, output);

    /// <summary><c>x + residual</c>, and its norm.</summary>
    protected (Value Normed, Value Sum) EmitAddNorm(GraphBuilder graph, CheckpointWeights weights, string weight, Value x, Value residual, string name) =>
        graph.AddRmsNorm(x, residual, Weight(graph, weights, weight), config.RmsNormEps, name, $"{name}.sum");

    /// <summary><c>x · matrixᵀ</c> with a matrix [out, in] in the export's precision.</summary>
    protected static Value EmitProduct(GraphBuilder graph, CheckpointWeights weights, Value x, TensorSource matrix, string name, string output)
    {
        if (!weights.Int4)
        {
            return graph.MatMulTransposed(x, graph.Weight(name, matrix), output);
        }

        int block = weights.Int4BlockSize;
        Value quants = graph.Weight($"{name}.int4", NBitsTensor.Quants(matrix, block));
        return graph.MatMul4Bits(x, quants, graph.Weight($"{name}.scales", NBitsTensor.Scales(matrix, block)), matrix.Shape[0], matrix.Shape[1], block, output);
    }

    /// <summary><c>x · weightᵀ (+ bias)</c>.</summary>
    protected static Value EmitLinear(GraphBuilder graph, CheckpointWeights weights, string prefix, Value x, string output, bool bias = false)
    {
        Value product = EmitAdapted(
            graph, weights, prefix, x, EmitProduct(graph, weights, x, weights.Float32($"{prefix}.weight"), $"{prefix}.weight", bias ? $"{output}.product" : output));
        return bias ? graph.Add(product, Weight(graph, weights, $"{prefix}.bias"), output) : product;
    }

    protected static Value EmitMlp(GraphBuilder graph, CheckpointWeights weights, string prefix, Value x, string name, bool bias = false)
    {
        Value gate = EmitLinear(graph, weights, $"{prefix}.gate_proj", x, $"{name}.gate", bias);
        Value up = EmitLinear(graph, weights, $"{prefix}.up_proj", x, $"{name}.up", bias);
        return EmitLinear(graph, weights, $"{prefix}.down_proj", graph.SiluMul(gate, up, $"{name}.inner"), $"{name}.output", bias);
    }

    /// <summary>Rows of a table; a bfloat16 table is widened row by row.</summary>
    protected static Value EmitRows(GraphBuilder graph, string name, TensorSource table, Value rows, string output)
    {
        Value stored = graph.Weight(name, table);
        return table.Type == ElementType.Float
            ? graph.Gather(stored, rows, output)
            : graph.Cast(graph.Gather(stored, rows, $"{output}.stored"), ElementType.Float, output);
    }

    /// <summary>Gate and up projections of all experts, their rows in turn: [experts, 2 · width, hidden].</summary>
    protected static Value EmitGateUp(
        GraphBuilder graph, CheckpointWeights weights, string key, int experts, int width, int hidden, Func<int, string> gate, Func<int, string> up)
    {
        IEnumerable<RowRange> rows =
            from expert in Enumerable.Range(0, experts)
            let names = new[] { gate(expert), up(expert) }
            from row in Enumerable.Range(0, width)
            from name in names
            select new RowRange(name, row, 1);
        return graph.Weight(key, weights.Rows(key, [experts, 2L * width, hidden], rows));
    }

    /// <summary>The hidden state after the final norm, and the logits from position <c>logits_from</c> of the step on.</summary>
    protected void EmitHead(GraphBuilder graph, CheckpointWeights weights, Value hidden, PaddedInputs inputs)
    {
        Value rows = graph.Slice(hidden, inputs.LogitsFrom, graph.Integers(long.MaxValue), 1, "logits.hidden");
        TensorSource head = weights.Float32(config.OutputHeadName);
        bool adapted = weights.AdapterInputs.Contains(HeadModule);
        string product = adapted ? "logits.base" : "logits";
        Value logits = weights.Int4Head
            ? EmitProduct(graph, weights, rows, head, config.OutputHeadName, product)
            : graph.MatMulTransposed(rows, graph.Weight(config.OutputHeadName, head), product);
        if (adapted)
        {
            (Value a, Value b) = EmitAdapterInputs(graph, HeadModule, config.HiddenSize, config.VocabSize);
            logits = graph.Add(logits, graph.PlainMatMul(graph.PlainMatMul(rows, a, "logits.lora_A"), b, "logits.lora_B"), "logits");
        }

        graph.Output(logits, ElementType.Float, "batch", "rows", config.VocabSize);
        graph.Output(hidden, ElementType.Float, "batch", "sequence", config.HiddenSize);
    }

    /// <summary>Cosines and sines for every position of the model.</summary>
    protected RotaryTables EmitRotaryTables(GraphBuilder graph, int dim) => new(
        graph.Weight("rope.cos", new RotaryTable("rope.cos", config.Rope, dim, config.MaxPositions, sine: false)),
        graph.Weight("rope.sin", new RotaryTable("rope.sin", config.Rope, dim, config.MaxPositions, sine: true)));
}
