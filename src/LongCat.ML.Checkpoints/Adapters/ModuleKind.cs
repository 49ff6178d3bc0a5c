namespace LongCat.ML.Checkpoints;

/// <summary>What a module of a model is to an adapter.</summary>
public enum ModuleKind
{
    /// <summary>A projection, experts' projections included.</summary>
    Linear,

    /// <summary>The word embedding or an n-gram table.</summary>
    Embedding,

    /// <summary>The output head.</summary>
    Head,

    /// <summary>The matrix of a router.</summary>
    Router,

    /// <summary>A norm, an indexer or another module that takes no adapter.</summary>
    Other,
}
