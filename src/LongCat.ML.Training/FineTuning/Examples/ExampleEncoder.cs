using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.FineTuning;

/// <summary>Makes training examples of texts, prompts with completions, chats and labelled texts, tokenized as the inference engine tokenizes the same.</summary>
/// <remarks>Thread-safe as far as the tokenizer is.</remarks>
public sealed class ExampleEncoder
{
    private readonly HuggingFaceTokenizer _tokenizer;
    private readonly ChatTemplate? _template;
    private readonly int? _begin;
    private readonly IReadOnlyList<int> _ends;

    /// <summary>Creates an encoder.</summary>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="config">The model's settings: begin and end tokens.</param>
    /// <param name="template">The model's chat template, or null where no chat will be encoded.</param>
    /// <exception cref="FineTuningException">The model names no end-of-sequence token.</exception>
    public ExampleEncoder(HuggingFaceTokenizer tokenizer, ModelConfig config, ChatTemplate? template = null)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(config);
        _tokenizer = tokenizer;
        _template = template;
        _begin = config.BosTokenId;
        _ends = config.EosTokenIds.Count > 0
            ? config.EosTokenIds
            : throw new FineTuningException("config.json names no eos_token_id; examples need an end-of-sequence token, so that the model learns to stop: add it");
    }

    /// <summary>Whether prompts, users' turns and system turns are learned too.</summary>
    public bool LossOnPrompt { get; init; }

    /// <summary>Reads tokenizer, settings and chat template of a model's folder.</summary>
    /// <param name="folder">A checkpoint's folder with tokenizer.json.</param>
    /// <returns>The encoder.</returns>
    /// <exception cref="CheckpointException">A file is missing or malformed.</exception>
    /// <exception cref="ChatTemplateException">The chat template is malformed.</exception>
    public static ExampleEncoder Load(string folder) => new(HuggingFaceTokenizer.Load(folder), ModelConfig.Load(folder), ChatTemplate.Load(folder));

    /// <summary>A text, all of it learned, with the end-of-sequence token.</summary>
    /// <param name="text">The text.</param>
    /// <returns>The example; without trainable tokens for an empty text.</returns>
    public TrainingExample Text(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        IReadOnlyList<int> ids = WithBegin(_tokenizer.Encode(text));
        return text.Length == 0 ? Build([(ids, false)]) : Build([(ids, true), ([_ends[0]], true)]);
    }

    /// <summary>A prompt and what should follow it; the completion and the end-of-sequence token are learned.</summary>
    /// <param name="prompt">The prompt; may be empty.</param>
    /// <param name="completion">What follows directly, its leading space included where there is one.</param>
    /// <returns>The example; without trainable tokens for an empty completion.</returns>
    /// <remarks>Prompt and completion are tokenized together and divided where the prompt's own tokens end, as scoring does.</remarks>
    public TrainingExample Completion(string prompt, string completion)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentNullException.ThrowIfNull(completion);
        IReadOnlyList<int> alone = WithBegin(_tokenizer.Encode(prompt));
        if (completion.Length == 0)
        {
            return Build([(alone, false)]);
        }

        IReadOnlyList<int> whole = WithBegin(_tokenizer.Encode(prompt + completion));
        int common = 0;
        while (common < alone.Count && common < whole.Count && alone[common] == whole[common])
        {
            common++;
        }

        return Build([([.. whole.Take(common)], LossOnPrompt), ([.. whole.Skip(common)], true), ([_ends[0]], true)]);
    }

    /// <summary>A text and its label in the form in which <see cref="ClassifyEstimator"/> scores labels.</summary>
    /// <param name="text">The text.</param>
    /// <param name="labelText">What is said for the label, its leading space included.</param>
    /// <param name="promptTemplate">The prompt, holding <see cref="ClassifyOptions.TextPlaceholder"/>; null takes the default of <see cref="ClassifyOptions"/>.</param>
    /// <returns>The example: the label and the end-of-sequence token are learned.</returns>
    /// <exception cref="ArgumentException">The template lacks its placeholder.</exception>
    public TrainingExample Label(string text, string labelText, string? promptTemplate = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        promptTemplate ??= new ClassifyOptions().PromptTemplate;
        return promptTemplate.Contains(ClassifyOptions.TextPlaceholder, StringComparison.Ordinal)
            ? Completion(promptTemplate.Replace(ClassifyOptions.TextPlaceholder, text, StringComparison.Ordinal), labelText)
            : throw new ArgumentException($"the prompt template is '{promptTemplate}', expected a text that holds {ClassifyOptions.TextPlaceholder}", nameof(promptTemplate));
    }

    /// <summary>A chat by the model's template; the assistant's turns are learned, each with the template's end of a turn.</summary>
    /// <param name="messages">The messages, oldest first.</param>
    /// <returns>
    /// One example, or one per assistant's turn where the template renders a turn differently once others follow (some drop earlier turns' reasoning):
    /// then each is trained as the model would have to answer.
    /// </returns>
    /// <exception cref="FineTuningException">The model has no template, or the template's text of a chat does not begin with its text of the prompt.</exception>
    /// <exception cref="ChatTemplateException">The template refuses the messages.</exception>
    public IReadOnlyList<TrainingExample> Chat(IReadOnlyList<ChatMessage> messages)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (_template is null)
        {
            throw new FineTuningException("the model's folder has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); give prompts and completions instead");
        }

        var turns = new List<(string Prompt, string Whole)>();
        for (int i = 0; i < messages.Count; i++)
        {
            if (messages[i].Role == "assistant")
            {
                string prompt = _template.Render([.. messages.Take(i)], new ChatTemplateOptions());
                string whole = _template.Render([.. messages.Take(i + 1)], new ChatTemplateOptions { AddGenerationPrompt = false });
                turns.Add(whole.StartsWith(prompt, StringComparison.Ordinal)
                    ? (prompt, whole)
                    : throw new FineTuningException($"the chat template's text of messages 1..{i + 1} does not begin with the prompt that asks for message {i + 1}, so the assistant's part cannot be told from the rest; give prompts and completions instead"));
            }
        }

        if (turns.Count == 0)
        {
            return [Build([(Encode(_template.Render(messages, new ChatTemplateOptions { AddGenerationPrompt = false })), LossOnPrompt)])];
        }

        bool nested = true;
        for (int i = 1; i < turns.Count; i++)
        {
            nested &= turns[i].Prompt.StartsWith(turns[i - 1].Whole, StringComparison.Ordinal);
        }

        if (!nested)
        {
            return [.. turns.Select(turn => Build(WithEnd([(Encode(turn.Prompt), LossOnPrompt), (Encode(turn.Whole[turn.Prompt.Length..]), true)])))];
        }

        // Parts are tokenized one by one: at the boundary of an assistant's turn the model generates, so no token may span it.
        var parts = new List<(IReadOnlyList<int>, bool)>();
        int at = 0;
        foreach (var (prompt, whole) in turns)
        {
            parts.Add((Encode(prompt[at..]), LossOnPrompt));
            parts.Add((Encode(whole[prompt.Length..]), true));
            at = whole.Length;
        }

        return [Build(WithEnd(parts))];
    }

    private static TrainingExample Build(IEnumerable<(IReadOnlyList<int> Ids, bool Trainable)> parts)
    {
        var ids = new List<int>();
        var trainable = new List<bool>();
        foreach (var part in parts)
        {
            ids.AddRange(part.Ids);
            trainable.AddRange(Enumerable.Repeat(part.Trainable, part.Ids.Count));
        }

        return new TrainingExample([.. ids], [.. trainable]);
    }

    /// <summary>A chat template writes its special tokens out itself.</summary>
    private IReadOnlyList<int> Encode(string text) => _tokenizer.Encode(text, addSpecialTokens: false);

    private IReadOnlyList<int> WithBegin(IReadOnlyList<int> ids) => _begin is int begin && (ids.Count == 0 || ids[0] != begin) ? [begin, .. ids] : ids;

    /// <summary>A template that ends a turn with an end token needs no other.</summary>
    private List<(IReadOnlyList<int> Ids, bool Trainable)> WithEnd(List<(IReadOnlyList<int> Ids, bool Trainable)> parts)
    {
        if (!parts[^1].Ids.Any(_ends.Contains))
        {
            parts.Add(([_ends[0]], true));
        }

        return parts;
    }
}
