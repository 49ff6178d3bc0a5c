namespace LongCat.ML.Checkpoints;

/// <summary>What a tensor is for; the groups of <c>longcat inspect</c>.</summary>
public enum TensorGroup
{
    /// <summary>The word embedding.</summary>
    Embedding,

    /// <summary>N-gram tables and their projections.</summary>
    NGram,

    /// <summary>Attention projections (and the norms inside latent attention).</summary>
    Attention,

    /// <summary>The indexers of LongCat Sparse Attention.</summary>
    Indexer,

    /// <summary>Dense feed-forward layers.</summary>
    Dense,

    /// <summary>Routed experts.</summary>
    Experts,

    /// <summary>The router and its selection bias.</summary>
    Router,

    /// <summary>Layer norms and the final norm.</summary>
    Norms,

    /// <summary>The multi-token-prediction (draft) head.</summary>
    Mtp,

    /// <summary>The output head.</summary>
    Head,
}
