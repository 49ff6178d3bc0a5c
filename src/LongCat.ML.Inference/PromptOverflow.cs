namespace LongCat.ML.Inference;

/// <summary>
/// What happens to a prompt that is too long. The limit is the model's longest sequence, or what the whole page pool holds where that is less.
/// </summary>
public enum PromptOverflow
{
    /// <summary>
    /// The request fails. A generation whose prompt alone fits is accepted and ends with <see cref="FinishReason.Length"/> at the model's longest sequence.
    /// </summary>
    Fail,

    /// <summary>
    /// The oldest prompt tokens are dropped until the prompt together with <see cref="GenerationOptions.MaxNewTokens"/> (or with the continuation to score) fits.
    /// At least one prompt token stays; for new tokens no prompt is cut below half of the limit, so the completion may be shorter than asked for.
    /// </summary>
    TruncateLeft,

    /// <summary>As <see cref="TruncateLeft"/>, but the prompt's last tokens are dropped.</summary>
    TruncateRight,
}
