namespace LongCat.ML.Onnx;

/// <summary>Multi-head latent attention: the projections around longcat::LatentAttention.</summary>
internal sealed partial class LongcatFlashEmitter
{
    /// <returns><c>residual + o_proj(attention(x))</c>.</returns>
    private Value EmitAttention(ModelWriter writer, AttentionNames names, LinearInput x, Value residual, StepInputs step, Value cache)
    {
        Value queryLatent = Linear(x, "q_a_proj", "q_a");
        LinearInput queryNormed = EmitNorm(writer, $"{names.Weights}.q_a_layernorm.weight", queryLatent, $"{names.Values}.q_a_norm", config.LatentNormEps);
        LatentAttentionInputs inputs = new(
            Linear(queryNormed, "q_b_proj", "query"),
            Linear(x, "kv_a_proj_with_mqa", "latent"),
            writer.Vector($"{names.Weights}.kv_a_layernorm.weight"),
            writer.Matrix($"{names.Weights}.kv_b_proj.weight"),
            writer.Graph.Weight("rope.inv_freq", new ComputedTensor("rope.inv_freq", config.Rope.InverseFrequencies(config.QkRopeHeadDim), config.QkRopeHeadDim / 2)),
            step,
            cache);
        (Value heads, _) = writer.Graph.LatentAttention(inputs, AttentionAttributes(), $"{names.Values}.heads", names.CacheOutput);
        return Linear(writer.Input(heads), "o_proj", "output", residual);

        Value Linear(LinearInput input, string projection, string output, Value? added = null) =>
            writer.Linear(input, $"{names.Weights}.{projection}", $"{names.Values}.{output}", residual: added);
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
