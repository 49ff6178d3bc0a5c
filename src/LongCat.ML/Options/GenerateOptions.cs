using System.Text.Json;

namespace LongCat.ML;

/// <summary>Settings of <see cref="GenerateEstimator"/>.</summary>
public sealed class GenerateOptions : StepOptions
{
    /// <summary>The column of the completions: text, without the prompt.</summary>
    public string OutputColumnName { get; set; } = "Completion";

    /// <summary>The column that says why a completion ended, or null for none: <c>stop</c>, <c>length</c>, <c>empty</c> (nothing to complete) or <c>error</c>.</summary>
    public string? FinishReasonColumnName { get; set; } = "FinishReason";

    /// <summary>The column of the prompts' token counts (Int32), or null for none.</summary>
    public string? PromptTokensColumnName { get; set; } = "PromptTokens";

    /// <summary>The column of the completions' token counts (Int32), or null for none.</summary>
    public string? CompletionTokensColumnName { get; set; } = "CompletionTokens";

    /// <summary>The column of the natural logarithms of the chosen tokens' probabilities (a vector of Single, one per token), or null for none.</summary>
    public string? LogProbabilitiesColumnName { get; set; }

    /// <summary>The most tokens to generate, at least 1.</summary>
    public int MaxNewTokens { get; set; } = 128;

    /// <summary>0 takes the most probable token; above it, probabilities are sharpened (below 1) or flattened (above 1). 0 to 100.</summary>
    public float Temperature { get; set; }

    /// <summary>Sample among this many most probable tokens; 0 takes all.</summary>
    public int TopK { get; set; }

    /// <summary>Sample among the most probable tokens that together reach this probability, above 0 up to 1.</summary>
    public float TopP { get; set; } = 1;

    /// <summary>The seed of sampling. The same seed gives the same text whatever other rows run beside it; null takes another one for every row.</summary>
    public ulong? Seed { get; set; }

    /// <summary>Texts that end a completion; they are not part of it.</summary>
    public IReadOnlyList<string> StopStrings { get; set; } = [];

    /// <summary>
    /// The column of who speaks in each message of a chat (a vector of text, such as <c>system</c>, <c>user</c>, <c>assistant</c>), or null: then <see cref="StepOptions.InputColumnName"/> is completed.
    /// Needs <see cref="ContentsColumnName"/>. Chats become prompts through the chat template in the model's folder, which ends with the beginning of an assistant's message.
    /// </summary>
    public string? RolesColumnName { get; set; }

    /// <summary>The column of what each message of a chat says (a vector of text as long as the roles), or null. A row without messages is an empty row.</summary>
    public string? ContentsColumnName { get; set; }

    /// <summary>Variables of the chat template by name, such as <c>enable_thinking</c>; see the model's description for those it knows.</summary>
    public IReadOnlyDictionary<string, JsonElement> ChatVariables { get; set; } = new Dictionary<string, JsonElement>();

    /// <summary>The column (Int32) of rows' own <see cref="MaxNewTokens"/>, or null. A negative number takes the step's setting.</summary>
    public string? MaxNewTokensColumnName { get; set; }

    /// <summary>The column (Single) of rows' own <see cref="Temperature"/>, or null. NaN or a negative number takes the step's setting.</summary>
    public string? TemperatureColumnName { get; set; }

    /// <summary>The column (Int32) of rows' own <see cref="TopK"/>, or null. A negative number takes the step's setting.</summary>
    public string? TopKColumnName { get; set; }

    /// <summary>The column (Single) of rows' own <see cref="TopP"/>, or null. NaN or a negative number takes the step's setting.</summary>
    public string? TopPColumnName { get; set; }

    /// <summary>The column (Int64) of rows' own <see cref="Seed"/>, or null. A negative number takes the step's setting.</summary>
    public string? SeedColumnName { get; set; }

    /// <summary>The column (text, or a vector of text) of rows' own <see cref="StopStrings"/>, or null. A row without a text that is not empty takes the step's.</summary>
    public string? StopStringsColumnName { get; set; }

    internal override void Validate()
    {
        base.Validate();
        Throw.IfBlank(OutputColumnName, nameof(OutputColumnName));
        Throw.IfOutside(MaxNewTokens, 1, int.MaxValue, nameof(MaxNewTokens));
        Throw.IfOutside(Temperature, 0, 100, nameof(Temperature));
        Throw.IfOutside(TopK, 0, int.MaxValue, nameof(TopK));
        Throw.IfOutside(TopP, float.Epsilon, 1, nameof(TopP));
        ArgumentNullException.ThrowIfNull(StopStrings);
        ArgumentNullException.ThrowIfNull(ChatVariables);
        if (string.IsNullOrEmpty(RolesColumnName) != string.IsNullOrEmpty(ContentsColumnName))
        {
            throw new ArgumentException(
                $"{nameof(RolesColumnName)} is '{RolesColumnName}' and {nameof(ContentsColumnName)} is '{ContentsColumnName}'; expected both, for chats, or neither.", nameof(RolesColumnName));
        }

        if (StopStrings.Any(string.IsNullOrEmpty))
        {
            throw new ArgumentException($"{nameof(StopStrings)} holds an empty text, which would end every completion at once.", nameof(StopStrings));
        }
    }
}
