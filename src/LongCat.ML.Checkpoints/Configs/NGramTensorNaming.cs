namespace LongCat.ML.Checkpoints;

/// <summary>The two spellings of the n-gram tensors in published checkpoints.</summary>
public enum NGramTensorNaming
{
    /// <summary><c>model.ngram_embeddings.embedders.i.weight</c> and <c>model.ngram_embeddings.post_projs.i.weight</c>.</summary>
    NGramEmbeddings,

    /// <summary><c>model.oe_embed_tokensi.weight</c> and <c>model.oe_embed_proji.weight</c>.</summary>
    OverEncoding,
}
