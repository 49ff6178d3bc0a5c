namespace LongCat.ML.Inference;

/// <summary>The embedding of a text. Immutable.</summary>
public sealed record EmbeddingResult
{
    /// <summary>The pooled hidden state, [hidden_size], after the model's final norm; of length 1 where <see cref="EmbeddingRequest.Normalize"/> asked for that (a vector of zeros stays as it is).</summary>
    public required float[] Vector { get; init; }

    /// <summary>Tokens of the text, after truncation.</summary>
    public required int Tokens { get; init; }
}
