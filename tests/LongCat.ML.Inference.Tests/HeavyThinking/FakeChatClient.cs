using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Tests.HeavyThinking;

/// <summary>A chat client that answers as a test says, and remembers what it was asked.</summary>
internal sealed class FakeChatClient(Func<FakeChatClient.Call, CancellationToken, Task<ChatResponse>> answer) : IChatClient
{
    private readonly List<Call> _calls = [];
    private int _running;

    /// <summary>A request: its place in the order of arrival, messages and options.</summary>
    public sealed record Call(int Index, IReadOnlyList<ChatMessage> Messages, ChatOptions Options);

    public IReadOnlyList<Call> Calls
    {
        get
        {
            lock (_calls)
            {
                return [.. _calls];
            }
        }
    }

    public int MostAtOnce { get; private set; }

    /// <summary>Answers at once.</summary>
    public static FakeChatClient Saying(Func<Call, string> text, int tokens = 10) => new((call, _) => Task.FromResult(Response(text(call), tokens)));

    /// <summary>A response with thoughts, an answer and usage.</summary>
    public static ChatResponse Response(string text, int tokens = 10) => new(new ChatMessage(ChatRole.Assistant, [new TextReasoningContent("thoughts of " + text), new TextContent(text)]))
    {
        FinishReason = ChatFinishReason.Stop,
        Usage = new UsageDetails { InputTokenCount = 5, OutputTokenCount = tokens, TotalTokenCount = tokens + 5 },
    };

    public async Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        Call call;
        lock (_calls)
        {
            call = new Call(_calls.Count, [.. messages], options!);
            _calls.Add(call);
            MostAtOnce = Math.Max(MostAtOnce, ++_running);
        }

        try
        {
            return await answer(call, cancellationToken);
        }
        finally
        {
            lock (_calls)
            {
                _running--;
            }
        }
    }

    public async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ChatResponse response = await GetResponseAsync(messages, options, cancellationToken);
        foreach (ChatResponseUpdate update in response.ToChatResponseUpdates())
        {
            yield return update;
        }
    }

    public object? GetService(Type serviceType, object? serviceKey = null) => null;

    public void Dispose()
    {
    }
}
