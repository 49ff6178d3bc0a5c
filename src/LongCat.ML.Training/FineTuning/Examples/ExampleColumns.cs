namespace LongCat.ML.Training.FineTuning;

/// <summary>Which fields of a row make an example: a text, a prompt with its completion, a chat, or a text with its label.</summary>
public sealed record ExampleColumns
{
    /// <summary>The field with a text to learn, or with the text to label.</summary>
    public string? Text { get; init; }

    /// <summary>The field with a prompt.</summary>
    public string? Prompt { get; init; }

    /// <summary>The field with what follows the prompt.</summary>
    public string? Completion { get; init; }

    /// <summary>The field with a list of messages <c>{"role", "content"}</c>.</summary>
    public string? Chat { get; init; }

    /// <summary>The field with a label: a string, a whole number, or true and false.</summary>
    public string? Label { get; init; }

    /// <summary>The prompt around a text to label; null takes the default of <see cref="ClassifyOptions"/>.</summary>
    public string? PromptTemplate { get; init; }

    /// <summary>Checks that exactly one form is chosen.</summary>
    /// <exception cref="ArgumentException">No form, or parts of several.</exception>
    public void Validate()
    {
        bool[] given = [Text is not null, Prompt is not null, Completion is not null, Chat is not null, Label is not null];
        bool valid = given is [true, false, false, false, _] or [false, true, true, false, false] or [false, false, false, true, false];
        if (!valid)
        {
            string[] names = [.. new[] { "text", "prompt", "completion", "chat", "label" }.Where((_, i) => given[i])];
            throw new ArgumentException(
                $"the columns given are {(names.Length == 0 ? "none" : string.Join(" and ", names))}; expected text, or prompt and completion, or chat, or text and label");
        }

        if (PromptTemplate is not null && (Label is null || !PromptTemplate.Contains(ClassifyOptions.TextPlaceholder, StringComparison.Ordinal)))
        {
            throw new ArgumentException(Label is null
                ? "a prompt template goes with a text and a label; no label column is given"
                : $"the prompt template is '{PromptTemplate}', expected a text that holds {ClassifyOptions.TextPlaceholder}");
        }
    }
}
