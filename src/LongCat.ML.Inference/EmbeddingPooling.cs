namespace LongCat.ML.Inference;

/// <summary>How the hidden states of a text's tokens become one vector.</summary>
public enum EmbeddingPooling
{
    /// <summary>The mean over all tokens, those that the tokenizer adds (a begin-of-text token) included.</summary>
    Mean,

    /// <summary>The hidden state of the last token: the only one that saw the whole text.</summary>
    LastToken,
}
