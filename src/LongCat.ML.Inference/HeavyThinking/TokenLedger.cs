using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.HeavyThinking;

/// <summary>What one reply has spent and may still spend. Thread-safe.</summary>
internal sealed class TokenLedger(long? budget, int calls)
{
    private readonly Lock _lock = new();
    private readonly UsageDetails _usage = new() { InputTokenCount = 0, OutputTokenCount = 0, TotalTokenCount = 0 };
    private long _left = budget ?? long.MaxValue;
    private int _calls = calls;

    /// <summary>Reserves the share of the next call.</summary>
    /// <param name="wanted">What the caller allows at most; null for anything.</param>
    /// <returns>The call's limit; null for none.</returns>
    public int? Reserve(int? wanted)
    {
        if (budget is null)
        {
            return wanted;
        }

        lock (_lock)
        {
            long share = Math.Max(1, _left / Math.Max(1, _calls--));
            int limit = (int)Math.Min(share, wanted ?? int.MaxValue);
            _left -= limit;
            return limit;
        }
    }

    /// <summary>Books what a call wrote; what it left of its share is there for later ones.</summary>
    public void Book(int? reserved, UsageDetails? usage)
    {
        lock (_lock)
        {
            if (usage is not null)
            {
                _usage.Add(usage);
            }

            // A client that does not count is taken to have used all of its share.
            _left += budget is null ? 0 : reserved.GetValueOrDefault() - (usage?.OutputTokenCount ?? reserved.GetValueOrDefault());
        }
    }

    public UsageDetails Total()
    {
        lock (_lock)
        {
            UsageDetails total = new();
            total.Add(_usage);
            return total;
        }
    }
}
