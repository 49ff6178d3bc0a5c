namespace LongCat.ML.Onnx;

/// <summary>Multi-head latent attention: the projections around longcat::LatentAttention, and around longcat::AttentionIndexer where the model has indexers.</summary>
internal sealed partial class LongcatFlashEmitter
{
    /// <returns><c>residual + o_proj(attention(x))</c>, and the keys that the attention sees: those that its own indexer chose, where it is given the cache of one, or what it was given.</returns>
    private (Value Output, Value Selected) EmitAttention(ModelWriter writer, AttentionNames names, LinearInput x, Value residual, StepInputs step, Value cache, Value selected, (Value Cache, string Output)? indexer, SparseAttentionInputs? sparse)
    {
        Value queryLatent = Linear(x, "q_a_proj", "q_a");
        LinearInput queryNormed = EmitNorm(writer, $"{names.Weights}.q_a_layernorm.weight", queryLatent, $"{names.Values}.q_a_norm", config.LatentNormEps);
        selected = indexer is { } own ? EmitIndexer(writer, names, x, queryNormed, step, own) : selected;
        LatentAttentionInputs inputs = new(
            Linear(queryNormed, "q_b_proj", "query"),
            Linear(x, "kv_a_proj_with_mqa", "latent"),
            writer.Vector($"{names.Weights}.kv_a_layernorm.weight"),
            writer.Matrix($"{names.Weights}.kv_b_proj.weight"),
            Frequencies(writer),
            step,
            cache)
        {
            Selected = selected,
            Sparse = sparse,
        };
        (Value heads, _) = writer.Graph.LatentAttention(inputs, AttentionAttributes(), $"{names.Values}.heads", names.CacheOutput);
        return (Linear(writer.Input(heads), "o_proj", "output", residual), selected);

        Value Linear(LinearInput input, string projection, string output, Value? added = null) =>
            writer.Linear(input, $"{names.Weights}.{projection}", $"{names.Values}.{output}", residual: added);
    }

    /// <summary>Which keys the queries of a layer see (LongCat Sparse Attention). s_q multiplies the query's latent alone, so it cannot change a choice.</summary>
    private Value EmitIndexer(ModelWriter writer, AttentionNames names, LinearInput x, LinearInput queryNormed, StepInputs step, (Value Cache, string Output) keys)
    {
        string weights = $"{names.Weights}.indexer", values = $"{names.Values}.indexer";
        AttentionIndexerInputs inputs = new(
            writer.FloatLinear(queryNormed, $"{weights}.wq_b", $"{values}.query"),
            writer.FloatLinear(x, $"{weights}.wk", $"{values}.key"),
            writer.FloatLinear(x, $"{weights}.weights_proj", $"{values}.weights", wide: true),
            writer.Vector($"{weights}.k_norm.weight"),
            Frequencies(writer),
            step,
            keys.Cache);
        AttentionIndexerAttributes attributes = new(config.Indexer!, config.QkRopeHeadDim, config.RmsNormEps, config.Rope.Multiplier);
        return writer.Graph.AttentionIndexer(inputs, attributes, $"{values}.selected", keys.Output).Selected;
    }

    private Value Frequencies(ModelWriter writer) =>
        writer.Graph.Weight("rope.inv_freq", new ComputedTensor("rope.inv_freq", config.Rope.InverseFrequencies(config.QkRopeHeadDim), config.QkRopeHeadDim / 2));

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
