namespace LongCat.ML.Onnx;

/// <summary>Multi-head latent attention: the projections around longcat::LatentAttention.</summary>
internal sealed partial class LongcatFlashEmitter
{
    /// <returns><c>residual + o_proj(attention(x))</c>.</returns>
    private Value EmitAttention(GraphBuilder graph, CheckpointWeights weights, AttentionNames names, Value x, Value residual, StepInputs step, Value cache)
    {
        Value queryLatent = graph.MatMul(x, Projection("q_a_proj"), $"{names.Values}.q_a");
        Value queryNormed = EmitNorm(graph, weights, $"{names.Weights}.q_a_layernorm.weight", queryLatent, $"{names.Values}.q_a_norm", config.LatentNormEps);
        Value query = graph.MatMul(queryNormed, Projection("q_b_proj"), $"{names.Values}.query");
        Value latent = graph.MatMul(x, Projection("kv_a_proj_with_mqa"), $"{names.Values}.latent");
        string norm = $"{names.Weights}.kv_a_layernorm.weight";
        LatentAttentionInputs inputs = new(
            query,
            latent,
            graph.Weight(norm, weights.Float32(norm)),
            Matrix(graph, weights, $"{names.Weights}.kv_b_proj.weight"),
            graph.Weight("rope.inv_freq", new ComputedTensor("rope.inv_freq", config.Rope.InverseFrequencies(config.QkRopeHeadDim), config.QkRopeHeadDim / 2)),
            step,
            cache);
        (Value output, _) = graph.LatentAttention(inputs, AttentionAttributes(), $"{names.Values}.heads", names.CacheOutput);
        return graph.MatMul(output, Projection("o_proj"), $"{names.Values}.output", residual: residual);

        Value Projection(string name) => LongcatFlashEmitter.Projection(graph, weights, $"{names.Weights}.{name}.weight");
    }

    private LatentAttentionAttributes AttentionAttributes() => new()
    {
        Heads = config.NumAttentionHeads,
        NopeDim = config.QkNopeHeadDim,
        RopeDim = config.QkRopeHeadDim,
        ValueDim = config.VHeadDim,
        LatentRank = config.KvLoraRank,
        Epsilon = config.LatentNormEps,
        QueryScale = config.QueryScale,
        LatentScale = config.LatentScale,
        SoftmaxScale = config.SoftmaxScale,
        RopeMultiplier = config.Rope.Multiplier,
    };
}
