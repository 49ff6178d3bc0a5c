namespace LongCat.ML.Inference;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>The model produced an end-of-sequence token, or the text reached a stop string.</summary>
    Stop,

    /// <summary><see cref="GenerationOptions.MaxNewTokens"/> or the model's longest sequence was reached.</summary>
    Length,

    /// <summary>The caller cancelled.</summary>
    Cancelled,
}
