using LongCat.ML.Inference;

namespace LongCat.ML;

/// <summary>Settings of <see cref="EmbedEstimator"/>.</summary>
public sealed class EmbedOptions : StepOptions
{
    /// <summary>The column of embeddings: a vector of Single whose size is the model's hidden size.</summary>
    public string OutputColumnName { get; set; } = "Embedding";

    /// <summary>How the hidden states of a text's tokens become one vector.</summary>
    public EmbeddingPooling Pooling { get; set; } = EmbeddingPooling.Mean;

    /// <summary>Whether a vector is divided by its Euclidean length, so that dot products are cosines.</summary>
    public bool Normalize { get; set; } = true;

    internal override void Validate()
    {
        base.Validate();
        Throw.IfBlank(OutputColumnName, nameof(OutputColumnName));
        Throw.IfOutside((int)Pooling, 0, 1, nameof(Pooling));
    }
}
