using System.Runtime.CompilerServices;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>
/// Thinks wide before it answers: several trajectories of a thinker on the same chat, side by side, then a summary that weighs their answers and replies (LongCat-Flash-Thinking-2601,
/// arXiv 2601.16725, heavy thinking). It wraps any chat client.
/// </summary>
/// <remarks>
/// <para>Summaries see the candidates' answers, never their thoughts. Earlier turns of the chat come without thoughts too, so only the answers of summaries stay in memory: adding a response
/// to the chat as it is does no harm.</para>
/// <para>A stream begins when the candidates are there; what is streamed is the last summary. The usage of a response, and of a stream's last update, is that of all calls together;
/// <see cref="HeavyThinkingResult"/> lies beside it under <see cref="HeavyThinkingResult.Key"/>.</para>
/// <para>A candidate that fails is left out as long as another one has an answer. With <c>ChatOptions.Tools</c> trajectories may call: their calls are put before the summary in words, and
/// the summary calls or answers.</para>
/// <para>Thread-safe where the clients are. Disposing it disposes the thinker; the summarizer stays the caller's.</para>
/// </remarks>
public sealed class HeavyThinkingChatClient : DelegatingChatClient
{
    private readonly IChatClient _summarizer;
    private readonly HeavyThinkingOptions _options;

    /// <summary>Creates a client.</summary>
    /// <param name="thinker">Makes the trajectories.</param>
    /// <param name="summarizer">Makes the summaries; null for the thinker.</param>
    /// <param name="options">How wide and how long it thinks; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    public HeavyThinkingChatClient(IChatClient thinker, IChatClient? summarizer = null, HeavyThinkingOptions? options = null)
        : base(thinker)
    {
        _options = options ?? new HeavyThinkingOptions();
        _options.Check();
        _summarizer = summarizer ?? thinker;
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">There are no messages.</exception>
    /// <exception cref="InvalidOperationException">No candidate has an answer: every one's thoughts ran into a limit.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="cancellationToken"/> was cancelled; all calls are dropped.</exception>
    public override async Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        List<ChatResponseUpdate> updates = [];
        await foreach (ChatResponseUpdate update in GetStreamingResponseAsync(messages, options, cancellationToken).ConfigureAwait(false))
        {
            updates.Add(update);
        }

        object? result = null;
        updates[^1].AdditionalProperties?.Remove(HeavyThinkingResult.Key, out result);
        ChatResponse response = updates.ToChatResponse();
        (response.AdditionalProperties ??= [])[HeavyThinkingResult.Key] = result;
        return response;
    }

    /// <inheritdoc/>
    /// <remarks>Exceptions are those of <see cref="GetResponseAsync"/>, thrown while enumerating.</remarks>
    public override async IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages, ChatOptions? options = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        List<ChatMessage> memory = ChatMemory.Of(messages);
        if (memory.Count == 0)
        {
            throw new ArgumentException("the chat holds no messages; at least one is expected.", nameof(messages));
        }

        TokenLedger ledger = new(_options.TokenBudget, _options.Calls);
        HeavyThinkingRun run = new(InnerClient, _summarizer, _options, memory, options, ledger);
        HeavyThinkingCandidate? agreed = await run.ThinkAsync(cancellationToken).ConfigureAwait(false);
        if (agreed is not null)
        {
            foreach (ChatResponseUpdate update in agreed.Response!.ToChatResponseUpdates())
            {
                update.Contents = [.. update.Contents.Where(content => content is not UsageContent)];
                yield return update;
            }
        }
        else
        {
            UsageDetails? usage = null;
            ChatOptions last = run.LastOptions(out int? reserved);
            await foreach (ChatResponseUpdate update in _summarizer.GetStreamingResponseAsync(run.SummaryMessages(), last, cancellationToken).ConfigureAwait(false))
            {
                foreach (UsageContent part in update.Contents.OfType<UsageContent>())
                {
                    (usage ??= new UsageDetails()).Add(part.Details);
                }

                update.Contents = [.. update.Contents.Where(content => content is not UsageContent)];
                yield return update;
            }

            ledger.Book(reserved, usage);
        }

        HeavyThinkingResult result = new() { Candidates = run.Candidates, Agreed = agreed is not null, Usage = ledger.Total() };
        yield return new ChatResponseUpdate(ChatRole.Assistant, [new UsageContent(ledger.Total())])
        {
            AdditionalProperties = new AdditionalPropertiesDictionary { [HeavyThinkingResult.Key] = result },
        };
    }
}
