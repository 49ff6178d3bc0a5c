using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// The plain decoders (Llama, Mistral, Mixtral, Qwen2, Qwen3, Qwen3-MoE) with com.microsoft's GroupQueryAttention, which rotates, writes the caches and attends
/// in one operator, and com.microsoft's MoE. Query, key and value come from one product.
/// </summary>
[EmitterFamily(typeof(DecoderConfig), OperatorSet.Standard)]
internal sealed class StandardDecoderEmitter(DecoderConfig config) : StandardEmitter(config)
{
    /// <summary>GroupQueryAttention rotates heads of a multiple of this only.</summary>
    private const int RotatedHeadStep = 16;

    /// <summary>GroupQueryAttention takes heads of a multiple of this only.</summary>
    private const int HeadStep = 8;

    private bool RotatesInside => config.HeadDim % RotatedHeadStep == 0;

    protected override IReadOnlyDictionary<string, byte[]> OtherFiles =>
        GenAIConfig.Write(config, takesPositions: !RotatesInside) is { } content ? new Dictionary<string, byte[]> { [GenAIConfig.FileName] = content } : base.OtherFiles;

    protected override IReadOnlyList<CacheLayout> EmitModel(GraphBuilder graph, CheckpointWeights weights)
    {
        if (config.HeadDim % HeadStep != 0)
        {
            throw new CheckpointException(
                "config.json", $"head_dim is {config.HeadDim}; com.microsoft's GroupQueryAttention takes multiples of {HeadStep}. Export with the longcat operators.");
        }

        PaddedInputs inputs = EmitInputs(graph, positions: !RotatesInside);
        (Value Key, Value Value)[] caches = [.. Enumerable.Range(0, config.NumLayers).Select(layer => (Cache(layer, "key"), Cache(layer, "value")))];
        GroupedStep step = EmitStep(graph, inputs);

        // A tied head that is read as it lies needs the table in float32.
        bool shared = config.TieWordEmbeddings && !weights.Int4;
        Value stream = EmitRows(graph, EmbeddingName, shared ? weights.Float32(EmbeddingName) : weights.Table(EmbeddingName), inputs.InputIds, "embedding");
        Value normed = EmitNorm(graph, weights, "model.layers.0.input_layernorm.weight", stream, "layers.0.input_norm");
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            string prefix = $"model.layers.{layer}";
            string name = $"layers.{layer}";
            Value attention = EmitAttention(graph, weights, layer, normed, step, caches[layer]);
            (Value n, Value a) = EmitAddNorm(graph, weights, $"{prefix}.post_attention_layernorm.weight", attention, stream, $"{name}.post_norm");
            Value output = config.Mixture(layer) is { } mixture
                ? EmitMixture(graph, weights, mixture, layer, n, step)
                : EmitMlp(graph, weights, $"{prefix}.mlp", n, $"{name}.mlp", config.MlpBias);
            bool last = layer + 1 == config.NumLayers;
            (normed, stream) = EmitAddNorm(
                graph, weights, last ? "model.norm.weight" : $"model.layers.{layer + 1}.input_layernorm.weight", output, a, last ? "hidden_states" : $"layers.{layer + 1}.input_norm");
        }

        EmitHead(graph, weights, normed, inputs);
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            graph.Output(new Value($"present.{layer}.key"), ElementType.Float, "batch", config.NumKeyValueHeads, "longest", config.HeadDim);
            graph.Output(new Value($"present.{layer}.value"), ElementType.Float, "batch", config.NumKeyValueHeads, "longest", config.HeadDim);
        }

        return [.. Enumerable.Repeat(new CacheLayout(config.CacheWidth), config.NumLayers)];

        Value Cache(int layer, string kind) =>
            graph.Input($"past_key_values.{layer}.{kind}", ElementType.Float, "batch", config.NumKeyValueHeads, "longest", config.HeadDim);
    }

    private GroupedStep EmitStep(GraphBuilder graph, PaddedInputs inputs)
    {
        Value lengths = graph.Sum(inputs.AttentionMask, 1, "step.lengths");
        Value last = graph.Binary("Sub", lengths, graph.Integer(1), "step.last");
        Value total = graph.Reshape(inputs.Total, graph.Integers(), "total.scalar");
        return new GroupedStep(
            inputs,
            graph.Cast(last, ElementType.Int32, "step.last_position"),
            graph.Cast(total, ElementType.Int32, "step.total"),
            graph.Concat([inputs.Batch, graph.Integers(-1, config.HiddenSize)], "shape.hidden"),
            EmitRotaryTables(graph, config.HeadDim),
            config.Streaming is null ? Value.None : EmitStreamingBias(graph, inputs, lengths, total));
    }

    /// <summary>
    /// The pattern as GroupQueryAttention's bias. The operator counts positions as this does: a sequence shorter than the step is a fresh one (padded behind), any other
    /// has the step's tokens at its end.
    /// </summary>
    private Value EmitStreamingBias(GraphBuilder graph, PaddedInputs inputs, Value lengths, Value total)
    {
        Value size = graph.Size(inputs.InputIds, 1, "sequence.size");
        Value past = graph.Binary("Max", graph.Binary("Sub", lengths, size, "step.past.signed"), graph.Integer(0), "step.past");
        Value tokens = graph.Range(graph.Reshape(size, graph.Integers(), "sequence.scalar"), "step.tokens");
        Value position = graph.Binary(
            "Add", graph.Reshape(past, graph.Integers(-1, 1, 1, 1), "step.past.column"), graph.Reshape(tokens, graph.Integers(1, 1, -1, 1), "step.tokens.column"), "step.position");
        Value slots = graph.Reshape(graph.Range(total, "step.slots"), graph.Integers(1, 1, 1, -1), "step.slots.row");
        return EmitBias(graph, EmitStreamingVisible(graph, position, slots), "step.streaming.bias");
    }

    private Value EmitAttention(GraphBuilder graph, CheckpointWeights weights, int layer, Value x, GroupedStep step, (Value Key, Value Value) cache)
    {
        string prefix = $"model.layers.{layer}.self_attn";
        string name = $"layers.{layer}.attention";
        int queries = config.NumAttentionHeads * config.HeadDim;
        int keys = config.NumKeyValueHeads * config.HeadDim;
        Value joined = EmitProduct(graph, weights, x, Joined("weight", [queries + (2L * keys), config.HiddenSize]), $"{prefix}.qkv_proj.weight", $"{name}.qkv");
        if (config.QueryKeyValueBias)
        {
            joined = graph.Add(joined, graph.Weight($"{prefix}.qkv_proj.bias", Joined("bias", [queries + (2L * keys)])), $"{name}.qkv.biased");
        }

        Value query = joined;
        Value key = Value.None;
        Value value = Value.None;
        string[] modules = [$"{prefix}.q_proj", $"{prefix}.k_proj", $"{prefix}.v_proj"];
        bool adapted = modules.Any(weights.AdapterInputs.Contains);
        if (config.QueryKeyNorm || !RotatesInside || adapted)
        {
            Value[] parts = graph.Split(joined, [queries, keys, keys], $"{name}.query", $"{name}.key", $"{name}.value");
            parts = [.. parts.Zip(modules, (part, module) => EmitAdapted(graph, weights, module, x, part))];
            query = Head(parts[0], "q_norm", config.NumAttentionHeads);
            key = Head(parts[1], "k_norm", config.NumKeyValueHeads);
            value = parts[2];
        }

        GroupQueryAttentionNode node = new(config.NumAttentionHeads, config.NumKeyValueHeads, config.SoftmaxScale, config.Window(layer) ?? -1, config.Streaming?.IsStreaming(layer) == true);
        Value heads = graph.GroupQueryAttention(
            query, key, value, cache, step, RotatesInside, node, $"{name}.heads", $"present.{layer}.key", $"present.{layer}.value");
        return EmitLinear(graph, weights, $"{prefix}.o_proj", heads, $"{name}.output", config.OutputBias);

        TensorSource Joined(string kind, long[] shape) => weights.Rows(
            $"{prefix}.qkv_proj.{kind}", shape, [weights.AllRows($"{prefix}.q_proj.{kind}"), weights.AllRows($"{prefix}.k_proj.{kind}"), weights.AllRows($"{prefix}.v_proj.{kind}")]);

        Value Head(Value part, string norm, int count)
        {
            if (config.QueryKeyNorm)
            {
                Value split = graph.Reshape(part, graph.Integers(0, 0, count, config.HeadDim), $"{part.Name}.heads");
                part = graph.Reshape(EmitNorm(graph, weights, $"{prefix}.{norm}.weight", split, $"{part.Name}.{norm}"), graph.Integers(0, 0, -1), $"{part.Name}.normed");
            }

            return RotatesInside ? part : graph.RotaryEmbedding(part, step.Inputs.PositionIds, step.Rotary, count, interleaved: false, $"{part.Name}.rotated");
        }
    }

    private Value EmitMixture(GraphBuilder graph, CheckpointWeights weights, DecoderMixtureConfig mixture, int layer, Value x, GroupedStep step)
    {
        string name = $"layers.{layer}.mixture";
        string block = $"model.layers.{layer}.{mixture.BlockName}.experts";
        Value rows = graph.Reshape(x, graph.Integers(-1, config.HiddenSize), $"{name}.rows");
        Value routing = graph.MatMulTransposed(rows, Weight(graph, weights, mixture.RouterName(layer)), $"{name}.routing");
        Value gateUp = EmitGateUp(
            graph, weights, $"{block}.gate_up_proj.weight", mixture.NumExperts, mixture.ExpertSize, config.HiddenSize, e => mixture.GateName(layer, e), e => mixture.UpName(layer, e));
        IEnumerable<RowRange> downRows = Enumerable.Range(0, mixture.NumExperts).Select(expert => weights.AllRows(mixture.DownName(layer, expert)));
        Value down = graph.Weight($"{block}.down_proj.weight", weights.Rows($"{block}.down_proj.weight", [mixture.NumExperts, config.HiddenSize, mixture.ExpertSize], downRows));
        return graph.Reshape(graph.MixtureOfExperts(rows, routing, gateUp, down, mixture.TopK, mixture.NormalizeTopK, $"{name}.experts"), step.Hidden, name);
    }
}
