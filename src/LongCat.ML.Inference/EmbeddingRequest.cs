namespace LongCat.ML.Inference;

/// <summary>A text whose embedding is wanted. Exactly one of <see cref="Text"/> and <see cref="Ids"/> is set. Immutable.</summary>
public sealed record EmbeddingRequest
{
    /// <summary>The text; needs a folder with tokenizer.json. An empty text stands for the model's begin-of-sequence token.</summary>
    public string? Text { get; init; }

    /// <summary>The text as token ids, each in 0..V-1. Taken as they are: no begin-of-sequence token is added except to an empty list.</summary>
    public IReadOnlyList<int>? Ids { get; init; }

    /// <summary>The name of the adapter to run with, one of <see cref="EngineOptions.Adapters"/>; null for the model alone. Default null.</summary>
    public string? Adapter { get; init; }

    /// <summary>How the tokens' hidden states become one vector. Default: their mean.</summary>
    public EmbeddingPooling Pooling { get; init; } = EmbeddingPooling.Mean;

    /// <summary>Whether the vector is divided by its Euclidean length, so that dot products are cosines. Default true.</summary>
    public bool Normalize { get; init; } = true;

    /// <summary>What happens to a text that is longer than the model's longest sequence. Default: the request fails.</summary>
    public PromptOverflow Overflow { get; init; } = PromptOverflow.Fail;
}
