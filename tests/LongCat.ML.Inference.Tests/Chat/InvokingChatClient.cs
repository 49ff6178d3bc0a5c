using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.Chat;

/// <summary>
/// Runs called functions and asks again with their results until a reply calls none, as <c>FunctionInvokingChatClient</c> of Microsoft.Extensions.AI does: a tool mode that requires a call holds for the
/// first request alone, a function that throws gives a text that says so, and a response has the messages and the usage of all requests. That package is no dependency of these tests, only its abstractions are.
/// </summary>
internal sealed class InvokingChatClient(IChatClient inner) : DelegatingChatClient(inner)
{
    public override async Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default) =>
        await RunAsync(messages, options, (chat, asked) => base.GetResponseAsync(chat, asked, cancellationToken), cancellationToken);

    public override async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ChatResponse response = await RunAsync(messages, options, (chat, asked) => base.GetStreamingResponseAsync(chat, asked, cancellationToken).ToChatResponseAsync(cancellationToken), cancellationToken);
        foreach (ChatResponseUpdate update in response.ToChatResponseUpdates())
        {
            yield return update;
        }
    }

    private static async Task<ChatResponse> RunAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options, Func<List<ChatMessage>, ChatOptions?, Task<ChatResponse>> ask, CancellationToken cancellationToken)
    {
        List<ChatMessage> chat = [.. messages], added = [];
        UsageDetails usage = new();
        while (true)
        {
            ChatResponse response = await ask(chat, options);
            added.AddRange(response.Messages);
            usage.Add(response.Usage!);
            FunctionCallContent[] calls = [.. response.Messages.SelectMany(message => message.Contents).OfType<FunctionCallContent>()];
            if (calls.Length == 0)
            {
                response.Messages = added;
                response.Usage = usage;
                return response;
            }

            List<AIContent> results = [];
            foreach (FunctionCallContent call in calls)
            {
                results.Add(new FunctionResultContent(call.CallId, await InvokeAsync(options!.Tools!.OfType<AIFunction>().Single(tool => tool.Name == call.Name), call, cancellationToken)));
            }

            added.Add(new ChatMessage(ChatRole.Tool, results));
            chat = [.. messages, .. added];
            options = options!.Clone();
            options.ToolMode = options.ToolMode is RequiredChatToolMode ? null : options.ToolMode;
        }
    }

    private static async Task<object?> InvokeAsync(AIFunction function, FunctionCallContent call, CancellationToken cancellationToken)
    {
        try
        {
            return await function.InvokeAsync(new AIFunctionArguments(call.Arguments), cancellationToken);
        }
        catch (ArgumentException)
        {
            return "Error: Function failed.";
        }
    }
}
