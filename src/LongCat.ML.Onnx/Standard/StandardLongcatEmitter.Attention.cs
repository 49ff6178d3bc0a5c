using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// Absorbed latent attention: the heads' queries are moved into the latent space, so that all heads read the one cached row [latent | rope key] of a
/// token, once as key and once as value. The two latent scales ride on the weights of the norms before them.
/// </summary>
internal sealed partial class StandardLongcatEmitter
{
    private LatentStep EmitStep(GraphBuilder graph, PaddedInputs inputs)
    {
        Value position = graph.Unsqueeze(inputs.PositionIds, [2], "step.position");
        Value zero = graph.Binary("Mul", position, graph.Integer(0), "step.zero");
        Value batch = graph.Reshape(graph.Range(graph.Reshape(inputs.Batch, graph.Integers(), "batch.scalar"), "step.batch"), graph.Integers(-1, 1, 1), "step.batch.column");
        Value rows = graph.Concat([graph.Binary("Add", zero, batch, "step.sequence"), zero, position], "step.cache_rows");

        Value slots = graph.Range(graph.Reshape(inputs.Total, graph.Integers(), "total.scalar"), "step.slots");
        Value slotRow = graph.Reshape(slots, graph.Integers(1, 1, 1, -1), "step.slots.row");
        Value positionColumn = graph.Unsqueeze(position, [3], "step.position.column");
        Value causal = graph.Binary("LessOrEqual", slotRow, positionColumn, "step.causal");
        Value present = graph.Unsqueeze(graph.Cast(inputs.AttentionMask, ElementType.Bool, "step.mask"), [1, 2], "step.mask.row");
        Value visible = graph.Binary("And", causal, present, "step.visible");

        return new LatentStep(
            inputs,
            rows,
            EmitBias(graph, visible, "step.bias"),
            config.Streaming is null ? Value.None : EmitBias(graph, graph.Binary("And", visible, EmitStreamingVisible(graph, positionColumn, slotRow), "step.streaming"), "step.streaming.bias"),
            graph.Concat([inputs.Batch, graph.Integers(1, -1, config.CacheWidth)], "shape.head_rows"),
            graph.Concat([inputs.Batch, graph.Integers(-1, config.NumAttentionHeads), inputs.Total], "shape.scores"),
            graph.Concat([inputs.Batch, graph.Integers(1, -1), inputs.Total], "shape.flat_scores"),
            graph.Concat([inputs.Batch, graph.Integers(-1, (long)config.NumAttentionHeads * config.VHeadDim)], "shape.head_values"),
            graph.Concat([inputs.Batch, graph.Integers(-1, config.HiddenSize)], "shape.hidden"),
            EmitRotaryTables(graph, config.QkRopeHeadDim));
    }

    private Value EmitAttention(GraphBuilder graph, CheckpointWeights weights, AttentionNames names, Value x, LatentStep step, Value cache, bool streaming)
    {
        string v = names.Values;
        long heads = config.NumAttentionHeads;
        Value[] latents = graph.Split(
            EmitProduct(graph, weights, x, Latents(weights, names), $"{names.Weights}.q_a_kv_a_proj.weight", $"{v}.latents"),
            [config.QLoraRank, config.KvLoraRank, config.QkRopeHeadDim],
            $"{v}.q_a", $"{v}.kv_a", $"{v}.k_rope");
        latents[0] = EmitAdapted(graph, weights, $"{names.Weights}.q_a_proj", x, latents[0]);
        if (weights.AdapterInputs.Contains($"{names.Weights}.kv_a_proj_with_mqa"))
        {
            Value change = EmitChange(graph, weights, $"{names.Weights}.kv_a_proj_with_mqa", x, $"{v}.kv_a");
            Value[] changes = graph.Split(change, [config.KvLoraRank, config.QkRopeHeadDim], $"{v}.kv_a.change", $"{v}.k_rope.change");
            (latents[1], latents[2]) = (graph.Add(latents[1], changes[0], $"{v}.kv_a.adapted"), graph.Add(latents[2], changes[1], $"{v}.k_rope.adapted"));
        }

        Value queryLatent = ScaledNorm(graph, weights, $"{names.Weights}.q_a_layernorm.weight", config.QueryScale, latents[0], $"{v}.q_a_norm");
        Value[] query = graph.Split(
            EmitProduct(graph, weights, queryLatent, Queries(weights, names), $"{names.Weights}.q_b_proj.weight", $"{v}.query"),
            [heads * config.QkNopeHeadDim, heads * config.QkRopeHeadDim],
            $"{v}.q_nope", $"{v}.q_rope");
        if (weights.AdapterInputs.Contains($"{names.Weights}.q_b_proj"))
        {
            // The adapter's columns are the checkpoint's, head by head.
            Value change = graph.Reshape(EmitChange(graph, weights, $"{names.Weights}.q_b_proj", queryLatent, $"{v}.query"), graph.Integers(0, 0, heads, config.QkHeadDim), $"{v}.query.change");
            Value[] changes = graph.Split(change, [config.QkNopeHeadDim, config.QkRopeHeadDim], $"{v}.q_nope.change", $"{v}.q_rope.change");
            query = [.. query.Zip(changes, (part, added) => graph.Add(part, graph.Reshape(added, graph.Integers(0, 0, -1), $"{added.Name}.joined"), $"{part.Name}.adapted"))];
        }

        Value queryRope = graph.RotaryEmbedding(query[1], step.Inputs.PositionIds, step.Rotary, heads, interleaved: true, $"{v}.q_rotated");
        Value keyRope = graph.RotaryEmbedding(latents[2], step.Inputs.PositionIds, step.Rotary, 1, interleaved: true, $"{v}.k_rotated");
        Value latent = ScaledNorm(graph, weights, $"{names.Weights}.kv_a_layernorm.weight", config.LatentScale, latents[1], $"{v}.latent");
        graph.ScatterRows(cache, step.CacheRows, graph.Concat([latent, keyRope], $"{v}.entry"), names.CacheOutput);
        Value rows = graph.Slice(new Value(names.CacheOutput), graph.Integers(0), step.Inputs.Total, 2, $"{v}.rows");

        // [tokens, heads, nope] to [heads, tokens, nope], so that a head's matrix is read once for the whole step; and back.
        Value byHead = graph.Transpose(graph.Reshape(query[0], graph.Integers(-1, heads, config.QkNopeHeadDim), $"{v}.q_nope.heads"), [1, 0, 2], $"{v}.q_nope.by_head");
        (Value A, Value Keys, Value Values)? adapter = EmitLatentAdapter(graph, weights, names);
        Value latentQuery = graph.PlainMatMul(byHead, KeyMatrix(graph, weights, names), $"{v}.q_latent");
        if (adapter is { } keys)
        {
            // k_b's change, Bᵀ Aᵀ, in two steps, so that without a rank there is nothing to do.
            Value change = graph.PlainMatMul(graph.PlainMatMul(byHead, keys.Keys, $"{v}.q_latent.lora_B"), graph.Transpose(keys.A, [1, 0], $"{v}.kv_b.lora_A.transposed"), $"{v}.q_latent.lora_A");
            latentQuery = graph.Add(latentQuery, change, $"{v}.q_latent.adapted");
        }

        Value absorbed = graph.Transpose(latentQuery, [1, 0, 2], $"{v}.q_latent.by_token");
        Value joined = graph.Concat([absorbed, graph.Reshape(queryRope, graph.Integers(-1, heads, config.QkRopeHeadDim), $"{v}.q_rotated.heads")], $"{v}.q_joined");
        Value scores = graph.MatMulTransposed(graph.Reshape(joined, step.HeadRows, $"{v}.q_rows"), rows, $"{v}.scores", config.SoftmaxScale);
        Value masked = graph.Add(graph.Reshape(scores, step.Scores, $"{v}.scores.by_token"), streaming ? step.StreamingBias : step.Bias, $"{v}.scores.masked");
        Value probabilities = graph.Reshape(graph.Softmax(masked, $"{v}.probabilities.by_token"), step.FlatScores, $"{v}.probabilities");

        Value seen = graph.Reshape(graph.PlainMatMul(probabilities, rows, $"{v}.seen"), graph.Integers(-1, heads, config.CacheWidth), $"{v}.seen.heads");
        Value seenByHead = graph.Transpose(seen, [1, 0, 2], $"{v}.seen.by_head");
        Value values = graph.MatMulTransposed(seenByHead, ValueMatrix(graph, weights, names), $"{v}.values");
        if (adapter is { } valueParts)
        {
            Value line = graph.Slice(seenByHead, graph.Integers(0), graph.Integers(config.KvLoraRank), 2, $"{v}.seen.latent");
            Value change = graph.PlainMatMul(graph.PlainMatMul(line, valueParts.A, $"{v}.values.lora_A"), valueParts.Values, $"{v}.values.lora_B");
            values = graph.Add(values, change, $"{v}.values.adapted");
        }

        Value output = graph.Reshape(graph.Transpose(values, [1, 0, 2], $"{v}.values.by_token"), step.HeadValues, $"{v}.heads");
        return EmitLinear(graph, weights, $"{names.Weights}.o_proj", output, $"{v}.output");
    }

    /// <summary>kv_b_proj's A [rank, lora_r], and the parts of B: of the keys [heads, nope, lora_r], of the values [heads, lora_r, value].</summary>
    private (Value A, Value Keys, Value Values)? EmitLatentAdapter(GraphBuilder graph, CheckpointWeights weights, AttentionNames names)
    {
        string module = $"{names.Weights}.kv_b_proj", v = names.Values;
        if (!weights.AdapterInputs.Contains(module))
        {
            return null;
        }

        int outputs = config.NumAttentionHeads * (config.QkNopeHeadDim + config.VHeadDim);
        (Value a, Value b) = EmitAdapterInputs(graph, module, config.KvLoraRank, outputs);

        // One rank of zeros more: ONNX Runtime's products of stacks of matrices end the process where there is no rank at all.
        a = graph.Concat([a, Zeros(config.KvLoraRank, 1)], $"{v}.kv_b.lora_A");
        b = graph.Transpose(graph.Concat([graph.Transpose(b, [1, 0], $"{v}.kv_b.lora_B.columns"), Zeros(outputs, 1)], $"{v}.kv_b.lora_B.padded"), [1, 0], $"{v}.kv_b.lora_B");
        Value shape = graph.Concat([graph.Size(b, 0, $"{v}.kv_b.rank"), graph.Integers(config.NumAttentionHeads, config.QkNopeHeadDim + config.VHeadDim)], $"{v}.kv_b.shape");
        Value heads = graph.Reshape(b, shape, $"{v}.kv_b.heads");
        Value keys = graph.Slice(heads, graph.Integers(0), graph.Integers(config.QkNopeHeadDim), 2, $"{v}.k_b.lora_B");
        Value values = graph.Slice(heads, graph.Integers(config.QkNopeHeadDim), graph.Integers(long.MaxValue), 2, $"{v}.v_b.lora_B");
        return (a, graph.Transpose(keys, [1, 2, 0], $"{v}.k_b.lora_B.by_head"), graph.Transpose(values, [1, 0, 2], $"{v}.v_b.lora_B.by_head"));

        Value Zeros(int rows, int columns) => graph.Weight($"zeros.{rows}", new ComputedTensor($"zeros.{rows}", new float[rows * columns], rows, columns));
    }

    private Value ScaledNorm(GraphBuilder graph, CheckpointWeights weights, string name, double scale, Value x, string output) =>
        graph.RmsNorm(x, graph.Weight(name, weights.Scaled(name, scale)), config.LatentNormEps, output);

    /// <summary>Both down-projections of the layer's input in one product.</summary>
    private TensorSource Latents(CheckpointWeights weights, AttentionNames names)
    {
        string key = $"{names.Weights}.q_a_kv_a_proj.weight";
        RowRange[] rows = [weights.AllRows($"{names.Weights}.q_a_proj.weight"), weights.AllRows($"{names.Weights}.kv_a_proj_with_mqa.weight")];
        return weights.Rows(key, [config.QLoraRank + config.CacheWidth, config.HiddenSize], rows);
    }

    /// <summary>The query projection with all heads' rows without rotation first.</summary>
    private TensorSource Queries(CheckpointWeights weights, AttentionNames names)
    {
        string key = $"{names.Weights}.q_b_proj.weight";
        IEnumerable<RowRange> nope = Heads().Select(head => new RowRange(key, head * config.QkHeadDim, config.QkNopeHeadDim));
        IEnumerable<RowRange> rope = Heads().Select(head => new RowRange(key, (head * config.QkHeadDim) + config.QkNopeHeadDim, config.QkRopeHeadDim));
        return weights.Rows($"{key}:nope,rope", [(long)config.NumAttentionHeads * config.QkHeadDim, config.QLoraRank], nope.Concat(rope));
    }

    /// <summary>The heads' key matrices, [heads, nope, rank].</summary>
    private Value KeyMatrix(GraphBuilder graph, CheckpointWeights weights, AttentionNames names)
    {
        string source = $"{names.Weights}.kv_b_proj.weight";
        string key = $"{names.Weights}.k_b_proj.weight";
        IEnumerable<RowRange> rows = Heads().Select(head => new RowRange(source, (long)head * (config.QkNopeHeadDim + config.VHeadDim), config.QkNopeHeadDim));
        return graph.Weight(key, weights.Rows(key, [config.NumAttentionHeads, config.QkNopeHeadDim, config.KvLoraRank], rows));
    }

    /// <summary>The heads' value matrices, [heads, value, rank + rope]: the zeros take the rope key, which is no part of the value.</summary>
    private Value ValueMatrix(GraphBuilder graph, CheckpointWeights weights, AttentionNames names)
    {
        string source = $"{names.Weights}.kv_b_proj.weight";
        string key = $"{names.Weights}.v_b_proj.weight";
        IEnumerable<RowRange> rows = Heads().Select(head => new RowRange(source, ((long)head * (config.QkNopeHeadDim + config.VHeadDim)) + config.QkNopeHeadDim, config.VHeadDim));
        return graph.Weight(key, weights.Rows(key, [config.NumAttentionHeads, config.VHeadDim, config.CacheWidth], rows, config.QkRopeHeadDim));
    }

    private IEnumerable<int> Heads() => Enumerable.Range(0, config.NumAttentionHeads);
}
