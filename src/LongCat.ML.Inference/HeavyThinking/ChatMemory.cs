using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>What of a chat the thinkers see (arXiv 2601.16725, context memory): earlier turns with their answers, never with the thoughts that led there.</summary>
internal static class ChatMemory
{
    /// <summary>The chat without thoughts.</summary>
    public static List<ChatMessage> Of(IEnumerable<ChatMessage> messages)
    {
        List<ChatMessage> memory = [];
        foreach (ChatMessage message in messages)
        {
            if (!message.Contents.Any(content => content is TextReasoningContent or UsageContent))
            {
                memory.Add(message);
                continue;
            }

            ChatMessage kept = message.Clone();
            kept.Contents = [.. message.Contents.Where(content => content is not (TextReasoningContent or UsageContent))];
            memory.Add(kept);
        }

        return memory;
    }

    /// <summary>The chat with the prompt of a summary in place of what the user asked last, other contents of that message kept; behind it where the chat ends otherwise.</summary>
    public static List<ChatMessage> ForSummary(List<ChatMessage> memory, Func<string, string> prompt)
    {
        if (memory[^1].Role != ChatRole.User)
        {
            return [.. memory, new ChatMessage(ChatRole.User, prompt(""))];
        }

        ChatMessage asked = memory[^1].Clone();
        asked.Contents = [.. memory[^1].Contents.Where(content => content is not TextContent), new TextContent(prompt(memory[^1].Text))];
        return [.. memory.SkipLast(1), asked];
    }

    /// <summary>The answer of a response: its text, and calls of tools written out, without thoughts.</summary>
    public static string Answer(ChatResponse response)
    {
        IEnumerable<string> calls = response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>()
            .Select(call => $"[calls {call.Name} with {System.Text.Json.JsonSerializer.Serialize(call.Arguments ?? new Dictionary<string, object?>(), AIJsonUtilities.DefaultOptions)}]");
        return string.Join('\n', calls.Prepend(response.Text.Trim()).Where(part => part.Length > 0));
    }
}
