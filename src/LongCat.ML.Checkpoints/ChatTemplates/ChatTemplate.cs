namespace LongCat.ML.Checkpoints;

/// <summary>
/// A chat template: the Jinja program of a Hugging Face model that turns messages into the text of a prompt. Renders as transformers does
/// (<c>trim_blocks</c>, <c>lstrip_blocks</c>, a sandbox in which values cannot be changed, its own <c>tojson</c>, <c>raise_exception</c>, <c>strftime_now</c>).
/// </summary>
/// <remarks>
/// <para>The text usually starts with the model's begin-of-text token: encode it with <c>Encode(text, addSpecialTokens: false)</c>.</para>
/// <para>Templates are programs from a download. They see nothing but what is passed in, and their work is bounded: a template that would not end, or that
/// multiplies its input, is stopped with a <see cref="ChatTemplateException"/>.</para>
/// <para>Immutable and thread-safe; holds no resources that need disposal.</para>
/// </remarks>
public sealed partial class ChatTemplate
{
    /// <summary>The longest published template has about 20,000 characters.</summary>
    private const int LongestTemplate = 1 << 20;

    private readonly TemplateStatement[] _statements;
    private readonly Dictionary<string, string> _specialTokens = new(StringComparer.Ordinal);
    private ChatTemplate? _toolTemplate;

    private ChatTemplate(string source, string name, TemplateStatement[] statements)
    {
        Source = source;
        Name = name;
        _statements = statements;
    }

    /// <summary>The template's text.</summary>
    public string Source { get; }

    /// <summary>The template's name, which errors give; the file of one that was loaded.</summary>
    public string Name { get; }

    /// <summary>Parses a template.</summary>
    /// <param name="template">The text of the template.</param>
    /// <param name="name">A name for errors.</param>
    /// <returns>The template, without special tokens: <c>bos_token</c> and <c>eos_token</c> come from the options or are undefined.</returns>
    /// <exception cref="ChatTemplateException">The template is malformed, too long, or uses what is not supported.</exception>
    public static ChatTemplate Parse(string template, string name)
    {
        ArgumentNullException.ThrowIfNull(template);
        ArgumentNullException.ThrowIfNull(name);
        return template.Length <= LongestTemplate
            ? new ChatTemplate(template, name, TemplateParser.Parse(template, name))
            : throw new ChatTemplateException(name, 1, $"expected a template of at most {LongestTemplate} characters, got {template.Length}");
    }

    /// <summary>Renders messages.</summary>
    /// <param name="messages">The chat, oldest message first.</param>
    /// <param name="options">What goes with the messages; null is the same as default options.</param>
    /// <returns>The text of the prompt, special tokens written out.</returns>
    /// <exception cref="ChatTemplateException">
    /// The template refuses the messages (a role it does not know, an order it does not allow), uses something undefined, or asks for too much work.
    /// </exception>
    /// <exception cref="ArgumentException">A value among the messages, tools or variables has no counterpart in a template.</exception>
    public string Render(IReadOnlyList<ChatMessage> messages, ChatTemplateOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        options ??= new ChatTemplateOptions();
        if (_toolTemplate is not null && options.Tools is not null)
        {
            return _toolTemplate.Render(messages, options);
        }

        TemplateInput input = new();
        TemplateScope scope = new(null);
        foreach ((string name, string token) in _specialTokens)
        {
            scope.Set(name, token);
        }

        SetToken("bos_token", options.BosToken);
        SetToken("eos_token", options.EosToken);
        scope.Set("messages", input.Messages(messages));

        // The reference passes these two even when there are none: defined, but none.
        scope.Set("tools", options.Tools is null ? null : input.Value(options.Tools));
        scope.Set("documents", null);
        scope.Set("add_generation_prompt", options.AddGenerationPrompt);
        foreach ((string name, object? value) in options.Variables ?? new Dictionary<string, object?>())
        {
            scope.Set(name, input.Value(value));
        }

        TemplateRun run = new(options.Clock, input.Size);
        try
        {
            TemplateStatement.Execute(_statements, run, new TemplateScope(scope));
        }
        catch (InsufficientExecutionStackException error)
        {
            throw new ChatTemplateException(Name, 1, "the template is nested too deeply", error);
        }

        return run.Output.ToString();

        void SetToken(string name, string? token)
        {
            if (token is not null)
            {
                scope.Set(name, token);
            }
        }
    }
}
