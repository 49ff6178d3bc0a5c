namespace LongCat.ML.Inference.Speculation;

/// <summary>What speculation remembers of a request between its rounds. Owned by the engine's loop.</summary>
/// <param name="options">The engine's options.</param>
/// <param name="counters">The engine's counters.</param>
/// <param name="exact">Whether the request is verified exactly whatever the options say.</param>
internal sealed class DraftState(SpeculativeOptions options, SpeculativeCounters counters, bool exact = false)
{
    /// <summary>What the request's verification may leave out; null when it is exact.</summary>
    public SparseVerification? Verification { get; } = exact || options.Verification is null or { IsLossless: true } ? null : options.Verification;

    /// <summary>The most tokens that a refresh computes again.</summary>
    public int MostRefreshed => Verification?.MostApproximate(options.WidestProposal) ?? 0;

    /// <summary>How many tokens the request proposes.</summary>
    public DraftWidth Width { get; } = new(options, counters);

    /// <summary>Where its n-grams occurred, for prompt lookup.</summary>
    public NGramIndex? Index { get; } = options is { Proposer: SpeculativeProposer.PromptLookup, NGramSize: > 0 } ? new NGramIndex(options.NGramSize) : null;

    /// <summary>What the multi-token-prediction head said last; null before it said anything.</summary>
    public HeadState? Head { get; set; }
}
