using System.Text;
using System.Text.Json;
using Microsoft.Extensions.AI;
using AIMessage = Microsoft.Extensions.AI.ChatMessage;
using TemplateMessage = LongCat.ML.Checkpoints.ChatMessage;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>Messages of Microsoft.Extensions.AI as a chat template sees them.</summary>
internal static class ChatMessageConverter
{
    /// <summary>Converts a chat.</summary>
    /// <param name="messages">The messages, oldest first.</param>
    /// <param name="instructions">Text that goes before the chat's system message, or makes one; null for none.</param>
    /// <exception cref="NotSupportedException">A message holds something that is neither text nor a call of a tool.</exception>
    /// <exception cref="ArgumentException">There is no message.</exception>
    public static List<TemplateMessage> Convert(IEnumerable<AIMessage> messages, string? instructions)
    {
        ArgumentNullException.ThrowIfNull(messages);
        List<TemplateMessage> converted = [];
        Dictionary<string, string> names = new(StringComparer.Ordinal);
        foreach (AIMessage message in messages)
        {
            Add(message ?? throw new ArgumentException("the chat holds a message that is null.", nameof(messages)), names, converted);
        }

        if (!string.IsNullOrEmpty(instructions))
        {
            // One system message: most templates know no second one.
            if (converted.Count > 0 && converted[0].Role == ChatRole.System.Value)
            {
                converted[0] = converted[0] with { Content = $"{instructions}\n\n{converted[0].Content}" };
            }
            else
            {
                converted.Insert(0, new TemplateMessage(ChatRole.System.Value, instructions));
            }
        }

        return converted.Count > 0 ? converted : throw new ArgumentException("the chat holds no messages; at least one is expected.", nameof(messages));
    }

    private static void Add(AIMessage message, Dictionary<string, string> names, List<TemplateMessage> converted)
    {
        StringBuilder text = new(), thought = new();
        List<Checkpoints.ChatToolCall> calls = [];
        List<TemplateMessage> results = [];
        bool any = false;
        foreach (AIContent content in message.Contents)
        {
            switch (content)
            {
                case TextContent part:
                    text.Append(part.Text);
                    any = true;
                    break;
                case TextReasoningContent part:
                    thought.Append(part.Text);
                    break;
                case FunctionCallContent call:
                    names[call.CallId] = call.Name;
                    calls.Add(new Checkpoints.ChatToolCall(call.Name, JsonSerializer.SerializeToElement(call.Arguments ?? new Dictionary<string, object?>(), AIJsonUtilities.DefaultOptions), call.CallId));
                    break;
                case FunctionResultContent result:
                    results.Add(new TemplateMessage("tool", Result(result)) { ToolCallId = result.CallId, Name = names.GetValueOrDefault(result.CallId) });
                    break;
                case UsageContent:
                    break;
                default:
                    throw new NotSupportedException(
                        $"a message of the role '{message.Role}' holds {content.GetType().Name}; the model reads text, thoughts, calls of functions and their results. Leave it out, or describe it in text.");
            }
        }

        if (any || calls.Count > 0 || thought.Length > 0 || results.Count == 0)
        {
            converted.Add(new TemplateMessage(message.Role.Value, any || calls.Count == 0 ? text.ToString() : null)
            {
                ToolCalls = calls.Count > 0 ? calls : null,
                ReasoningContent = thought.Length > 0 ? thought.ToString() : null,
                Name = message.AuthorName,
            });
        }

        converted.AddRange(results);
    }

    private static string Result(FunctionResultContent result) => result.Result switch
    {
        null => result.Exception is { } error ? $"Error: {error.Message}" : "null",
        string text => text,
        JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
        TextContent text => text.Text,
        object value => JsonSerializer.Serialize(value, AIJsonUtilities.DefaultOptions.GetTypeInfo(value.GetType())),
    };
}
