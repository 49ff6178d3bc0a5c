namespace LongCat.ML.Onnx.Adapters;

/// <summary>How a graph takes adapters of a module.</summary>
public enum AdaptableModuleKind
{
    /// <summary>A product of every token's row: A, B and perhaps a gain.</summary>
    Projection,

    /// <summary>The output head: the same over the rows whose logits are asked for.</summary>
    Head,

    /// <summary>kv_b_proj, which lies inside latent attention: the whole matrix with each adapter merged into it (<see cref="AdapterNames.Adapted"/>), in place of A and B.</summary>
    LatentValues,

    /// <summary>One projection of all experts of a mixture: A [E, K, ranks], B [E, ranks, N] and perhaps a gain [E, n, N].</summary>
    Experts,
}
