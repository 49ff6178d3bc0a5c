using LongCat.ML.Inference.Chat;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;

namespace Chat;

/// <summary>Shows a reply as it comes: thoughts grey where the terminal has colours, calls of tools in brackets, tokens and speed at the end.</summary>
internal static class Terminal
{
    /// <summary>Streams a reply, answers calls of the tool, and adds all of it to the chat.</summary>
    public static async Task ReplyAsync(LongCatChatClient client, List<ChatMessage> chat, ChatOptions options, AIFunction tool, CancellationToken cancellationToken)
    {
        const int MostCalls = 5;
        for (int calls = 0; ; calls++)
        {
            ChatResponse response = await StreamAsync(client, chat, options, cancellationToken);
            chat.AddRange(response.Messages);
            FunctionCallContent[] wanted = [.. response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>()];
            if (wanted.Length == 0 || calls == MostCalls)
            {
                return;
            }

            foreach (FunctionCallContent call in wanted)
            {
                object? result = call.Name == tool.Name
                    ? await tool.InvokeAsync(new AIFunctionArguments(call.Arguments), cancellationToken)
                    : $"there is no function '{call.Name}'";
                Console.WriteLine($"\n[{call.Name} -> {result}]");
                chat.Add(new ChatMessage(ChatRole.Tool, [new FunctionResultContent(call.CallId, result)]));
            }
        }
    }

    private static async Task<ChatResponse> StreamAsync(LongCatChatClient client, List<ChatMessage> chat, ChatOptions options, CancellationToken cancellationToken)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync(chat, options, cancellationToken))
        {
            updates.Add(update);
            foreach (AIContent content in update.Contents)
            {
                if (content is TextReasoningContent thought)
                {
                    Console.ForegroundColor = ConsoleColor.DarkGray;
                    Console.Write(thought.Text);
                    Console.ResetColor();
                }
                else if (content is TextContent text)
                {
                    Console.Write(text.Text);
                }
            }
        }

        ChatResponse response = updates.ToChatResponse();
        double seconds = System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine(string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"\n({response.Usage!.InputTokenCount} + {response.Usage.OutputTokenCount} tokens, {response.Usage.OutputTokenCount / seconds:F1} tokens/s, {response.FinishReason})"));
        return response;
    }
}
