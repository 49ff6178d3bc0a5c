using LongCat.ML.Inference.Chat.Prompts;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Chat.Replies;

/// <summary>Makes the updates of one reply. Not thread-safe.</summary>
internal sealed class ReplyUpdates(ChatPrompt prompt)
{
    private readonly string _id = Guid.NewGuid().ToString("N");
    private readonly DateTimeOffset _created = DateTimeOffset.UtcNow;
    private List<TokenLogProbability>? _logProbabilities;
    private int _thoughtTokens;
    private int _cachedTokens;
    private bool _called;

    /// <summary>What the next update will hold.</summary>
    public List<AIContent> Contents { get; } = [];

    /// <summary>Tokens that the model wrote.</summary>
    public int OutputTokens { get; private set; }

    public void Count(GenerationUpdate token, bool thinking)
    {
        OutputTokens++;
        _cachedTokens = token.CachedPromptTokens;
        _thoughtTokens += thinking ? 1 : 0;
        if (token.LogProbability is { } logProbability)
        {
            (_logProbabilities ??= []).Add(logProbability);
        }
    }

    /// <summary>The next update; null where there is nothing to tell yet.</summary>
    public ChatResponseUpdate? Next()
    {
        Restrict();
        return Contents.Count > 0 ? Create() : null;
    }

    /// <summary>Tokens so far; the prompt's that were found in the cache are counted in its own.</summary>
    public UsageDetails Usage => new()
    {
        InputTokenCount = prompt.PromptTokens,
        OutputTokenCount = OutputTokens,
        TotalTokenCount = prompt.PromptTokens + OutputTokens,
        CachedInputTokenCount = _cachedTokens,
        ReasoningTokenCount = _thoughtTokens,
    };

    /// <summary>The update that ends the reply.</summary>
    public ChatResponseUpdate Last(FinishReason reason)
    {
        Restrict();
        Contents.Add(new UsageContent(Usage));
        ChatResponseUpdate update = Create();
        update.FinishReason = _called ? ChatFinishReason.ToolCalls : reason == FinishReason.Length ? ChatFinishReason.Length : ChatFinishReason.Stop;
        return update;
    }

    /// <summary>Leaves out what the caller does not want: thoughts, and calls after the first one.</summary>
    private void Restrict()
    {
        Contents.RemoveAll(content =>
        {
            bool surplus = content is FunctionCallContent && prompt.OneCall && _called;
            _called |= content is FunctionCallContent;
            return surplus || (content is TextReasoningContent && prompt.HideThoughts);
        });
    }

    private ChatResponseUpdate Create()
    {
        ChatResponseUpdate update = new(ChatRole.Assistant, [.. Contents])
        {
            ResponseId = _id,
            MessageId = _id,
            ModelId = prompt.ModelId,
            CreatedAt = _created,
        };
        if (_logProbabilities is not null)
        {
            update.AdditionalProperties = new AdditionalPropertiesDictionary { [LongCatChatClient.LogProbabilities] = _logProbabilities };
            _logProbabilities = null;
        }

        Contents.Clear();
        return update;
    }
}
