using System.Text.Json;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>A chat made into a request, and what is needed to read the reply.</summary>
/// <param name="Request">The request to the engine.</param>
/// <param name="PromptTokens">Tokens of the prompt.</param>
/// <param name="ModelId">The model's name, or the adapter's.</param>
/// <param name="OpenThought">The end of the thoughts that the prompt begins; null where it begins none.</param>
/// <param name="Tools">JSON schemas of the tools that may be called, by name.</param>
/// <param name="OneCall">Whether the reply ends with the first call of a tool.</param>
/// <param name="HideThoughts">Whether thoughts are left out of the response.</param>
/// <param name="Data">Whether the answer is constrained to JSON.</param>
internal sealed record ChatPrompt(
    GenerationRequest Request,
    int PromptTokens,
    string ModelId,
    string? OpenThought,
    IReadOnlyDictionary<string, JsonElement> Tools,
    bool OneCall,
    bool HideThoughts,
    bool Data);
