using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>Turns what a caller passes into values of a template, and measures it.</summary>
internal sealed class TemplateInput
{
    /// <summary>How many characters the values have, the frames of lists and dictionaries counted in.</summary>
    public long Size { get; private set; }

    public TemplateList Messages(IReadOnlyList<ChatMessage> messages) => new([.. messages.Select(Message)]);

    /// <exception cref="ArgumentException">The value has no counterpart.</exception>
    public object? Value(object? source)
    {
        try
        {
            object? value = TemplateJson.Value(source);
            Measure(value);
            return value;
        }
        catch (InvalidOperationException error)
        {
            throw new ArgumentException($"a value for a chat template cannot be read: {error.Message}", error);
        }
    }

    private TemplateMap Message(ChatMessage message)
    {
        ArgumentNullException.ThrowIfNull(message);
        TemplateMap map = new();
        map.Set("role", message.Role);
        map.Set("content", message.Content);
        Measure(message.Content);
        Add("reasoning_content", message.ReasoningContent);
        Add("name", message.Name);
        if (message.ToolCalls is { } calls)
        {
            map.Set("tool_calls", new TemplateList([.. calls.Select(Call)]));
        }

        Add("tool_call_id", message.ToolCallId);
        foreach ((string key, JsonElement value) in message.Other ?? new Dictionary<string, JsonElement>())
        {
            map.Set(key, Value(value));
        }

        return map;

        void Add(string key, string? text)
        {
            if (text is not null)
            {
                map.Set(key, text);
                Measure(text);
            }
        }
    }

    private TemplateMap Call(ChatToolCall call)
    {
        TemplateMap function = new(), map = new();
        function.Set("name", call.Name);
        function.Set("arguments", Value(call.Arguments));
        if (call.Id is not null)
        {
            map.Set("id", call.Id);
        }

        map.Set("type", "function");
        map.Set("function", function);
        return map;
    }

    private void Measure(object? value)
    {
        const int Frame = 16;
        Size += Frame;
        switch (value)
        {
            case string text:
                Size += text.Length;
                break;
            case TemplateList list:
                foreach (object? item in list.Items)
                {
                    Measure(item);
                }

                break;
            case TemplateMap map:
                foreach ((object key, object? item) in map.Entries)
                {
                    Size += key is string name ? name.Length : Frame;
                    Measure(item);
                }

                break;
        }
    }
}
