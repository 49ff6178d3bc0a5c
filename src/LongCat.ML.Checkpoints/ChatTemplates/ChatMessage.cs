using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>One message of a chat as a template sees it. What is null is left out, so that a template finds it undefined.</summary>
/// <param name="Role">Who speaks: <c>system</c>, <c>user</c>, <c>assistant</c>, <c>tool</c>, or another role that the template knows.</param>
/// <param name="Content">The text; null where there is none (a template then sees <c>none</c>), as beside tool calls.</param>
public sealed record ChatMessage(string Role, string? Content)
{
    /// <summary>The tools that an assistant's message calls (<c>tool_calls</c>).</summary>
    public IReadOnlyList<ChatToolCall>? ToolCalls { get; init; }

    /// <summary>What the assistant thought before it answered (<c>reasoning_content</c>).</summary>
    public string? ReasoningContent { get; init; }

    /// <summary>The speaker's or the tool's name (<c>name</c>).</summary>
    public string? Name { get; init; }

    /// <summary>The call that a tool's message answers (<c>tool_call_id</c>).</summary>
    public string? ToolCallId { get; init; }

    /// <summary>
    /// Other keys, such as <c>files</c>; one of the names above replaces its value (a list of parts as <c>content</c>).
    /// </summary>
    public IReadOnlyDictionary<string, JsonElement>? Other { get; init; }
}
