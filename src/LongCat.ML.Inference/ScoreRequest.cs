namespace LongCat.ML.Inference;

/// <summary>
/// A continuation whose probability given a prompt is wanted. Exactly one of <see cref="Prompt"/> and <see cref="PromptIds"/> is set, and the continuation in the same form.
/// </summary>
public sealed record ScoreRequest
{
    /// <summary>The prompt as text. An empty prompt stands for the model's begin-of-sequence token.</summary>
    public string? Prompt { get; init; }

    /// <summary>The prompt as token ids.</summary>
    public IReadOnlyList<int>? PromptIds { get; init; }

    /// <summary>
    /// The continuation as text. Prompt and continuation are tokenized together, and the scored tokens are those after the longest common
    /// beginning with the prompt's own tokens: where a token spans the border it is scored whole.
    /// </summary>
    public string? Continuation { get; init; }

    /// <summary>The continuation as token ids, at least one.</summary>
    public IReadOnlyList<int>? ContinuationIds { get; init; }

    /// <summary>The name of the adapter to run with, one of <see cref="EngineOptions.Adapters"/>; null for the model alone. Default null.</summary>
    public string? Adapter { get; init; }

    /// <summary>What happens when prompt and continuation together are too long. The continuation is never cut. Default: the request fails.</summary>
    public PromptOverflow Overflow { get; init; } = PromptOverflow.Fail;
}
