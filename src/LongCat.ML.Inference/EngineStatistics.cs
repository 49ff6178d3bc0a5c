namespace LongCat.ML.Inference;

/// <summary>Counters of an engine since it was loaded: a snapshot, taken after the last finished step. Immutable.</summary>
public sealed record EngineStatistics
{
    /// <summary>Runs of the model. A step computes tokens of many requests.</summary>
    public long Steps { get; init; }

    /// <summary>Prompt tokens computed, recomputation after a preemption or for a refresh included; tokens found in the prefix cache are not among them.</summary>
    public long PrefillTokens { get; init; }

    /// <summary>Tokens generated for all requests.</summary>
    public long GeneratedTokens { get; init; }

    /// <summary>Prompt tokens that did not have to be computed because another request's pages held them.</summary>
    public long PrefixHitTokens { get; init; }

    /// <summary>Requests that take part in steps now.</summary>
    public int RequestsRunning { get; init; }

    /// <summary>Requests that wait for a place or for pages now.</summary>
    public int RequestsWaiting { get; init; }

    /// <summary>Requests that ran to their end.</summary>
    public long RequestsFinished { get; init; }

    /// <summary>Requests that were cancelled.</summary>
    public long RequestsCancelled { get; init; }

    /// <summary>Requests that failed in a step.</summary>
    public long RequestsFailed { get; init; }

    /// <summary>The most requests that were in one step.</summary>
    public int PeakSequences { get; init; }

    /// <summary>How often a running request gave its pages to older ones and was computed again later.</summary>
    public long Preemptions { get; init; }

    /// <summary>Pages of full attentions that running requests hold now. Pages kept for their content alone do not count: they are given up when needed.</summary>
    public int PagesUsed { get; init; }

    /// <summary>The most of these pages that were in use at once.</summary>
    public int PeakPagesUsed { get; init; }

    /// <summary>Pages of the pool of full attentions; 0 where the model has none.</summary>
    public int PagesTotal { get; init; }

    /// <summary>Pages of streaming attentions that running requests hold now; those of a request do not grow with its context.</summary>
    public int StreamingPagesUsed { get; init; }

    /// <summary>The most of these pages that were in use at once.</summary>
    public int PeakStreamingPagesUsed { get; init; }

    /// <summary>Pages of the pool of streaming attentions; 0 where the model has none.</summary>
    public int StreamingPagesTotal { get; init; }

    /// <summary>How often a running request gave a page of streaming attentions back because no later token could read it.</summary>
    public long StreamingPagesReturned { get; init; }

    /// <summary>Bytes of memory that the adapters take beside the model: the sum of <see cref="LoadedAdapter.Bytes"/>.</summary>
    public long AdapterBytes { get; init; }

    /// <summary>
    /// Whether every request's output is the model's own: true, unless <see cref="SpeculativeOptions.Verification"/> lets the verification of proposed tokens leave something out.
    /// </summary>
    public bool IsLossless { get; init; } = true;

    /// <summary>Counters of speculative decoding; null where the engine was loaded without it (<see cref="EngineOptions.Speculation"/>).</summary>
    public SpeculativeStatistics? Speculation { get; init; }
}
