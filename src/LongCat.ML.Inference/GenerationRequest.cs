namespace LongCat.ML.Inference;

/// <summary>A prompt to complete. Exactly one of <see cref="Prompt"/> and <see cref="PromptIds"/> is set.</summary>
public sealed record GenerationRequest
{
    /// <summary>The prompt as text; needs a folder with tokenizer.json. An empty prompt starts from the model's begin-of-sequence token.</summary>
    public string? Prompt { get; init; }

    /// <summary>The prompt as token ids, each in 0..V-1. Taken as they are: no begin-of-sequence token is added except to an empty list.</summary>
    public IReadOnlyList<int>? PromptIds { get; init; }

    /// <summary>The name of the adapter to run with, one of <see cref="EngineOptions.Adapters"/>; null for the model alone. Default null.</summary>
    public string? Adapter { get; init; }

    /// <summary>How the completion is chosen and where it ends.</summary>
    public GenerationOptions Options { get; init; } = new();
}
