namespace LongCat.ML.Inference.Speculation;

/// <summary>What <see cref="SpeculativeStatistics"/> shows, while it is counted. Owned by the engine's loop.</summary>
internal sealed class SpeculativeCounters
{
    private readonly long[] _lengths = new long[8];

    public long Rounds { get; private set; }

    public long Proposed { get; private set; }

    public long Evaluated { get; private set; }

    public long Accepted { get; private set; }

    public long Corrections { get; private set; }

    public long Bonuses { get; private set; }

    public long Full { get; private set; }

    public long Partial { get; private set; }

    public long Zero { get; private set; }

    public long DraftPasses { get; set; }

    public long TargetPasses { get; set; }

    public long FallbackSteps { get; set; }

    public long WidthIncreases { get; set; }

    public long WidthDecreases { get; set; }

    public long WidthObservations { get; set; }

    public long WidthProbes { get; set; }

    public long CooldownEntries { get; set; }

    public long CooldownSteps { get; set; }

    public long LookupHits { get; set; }

    public long LookupMisses { get; set; }

    public long LookupTokens { get; set; }

    public long ChainedTokens { get; set; }

    public double DraftMilliseconds { get; set; }

    public double TargetMilliseconds { get; set; }

    public long Failures { get; set; }

    public long SparseRounds { get; set; }

    public long Refreshes { get; set; }

    public long RefreshedTokens { get; set; }

    /// <summary>Counts a round.</summary>
    /// <param name="proposed">Its tokens, at least 1.</param>
    /// <param name="accepted">How many of them the model chose.</param>
    /// <param name="emitted">How many tokens the request got: one more than accepted, unless it ended with an accepted one.</param>
    public void AddRound(int proposed, int accepted, int emitted)
    {
        bool chosen = emitted > accepted;
        Rounds++;
        Proposed += proposed;
        Evaluated += chosen ? Math.Min(accepted + 1, proposed) : accepted;
        Accepted += accepted;
        _lengths[Math.Min(accepted, _lengths.Length - 1)]++;
        Corrections += chosen && accepted < proposed ? 1 : 0;
        Bonuses += chosen && accepted == proposed ? 1 : 0;
        Full += accepted == proposed ? 1 : 0;
        Zero += accepted == 0 ? 1 : 0;
        Partial += accepted > 0 && accepted < proposed ? 1 : 0;
    }

    public SpeculativeStatistics Snapshot(double effectiveK, string? stopped, bool lossless) => new()
    {
        Rounds = Rounds,
        DraftTokensProposed = Proposed,
        DraftTokensEvaluated = Evaluated,
        DraftTokensAccepted = Accepted,
        CorrectionTokens = Corrections,
        BonusTokens = Bonuses,
        TokensEmitted = Accepted + Corrections + Bonuses,
        FullAcceptRounds = Full,
        PartialAcceptRounds = Partial,
        ZeroAcceptRounds = Zero,
        AcceptanceLengthHistogram = [.. _lengths],
        DraftForwardPasses = DraftPasses,
        TargetForwardPasses = TargetPasses,
        StandardFallbackSteps = FallbackSteps,
        EffectiveK = effectiveK,
        AdaptiveKIncreases = WidthIncreases,
        AdaptiveKDecreases = WidthDecreases,
        AdaptiveKObservations = WidthObservations,
        AdaptiveKProbes = WidthProbes,
        CooldownEntries = CooldownEntries,
        CooldownSteps = CooldownSteps,
        NgramLookupHits = LookupHits,
        NgramLookupMisses = LookupMisses,
        NgramLookupTokensProposed = LookupTokens,
        NgramChainedTokensProposed = ChainedTokens,
        TotalDraftMs = DraftMilliseconds,
        TotalTargetMs = TargetMilliseconds,
        DraftFailures = Failures,
        Stopped = stopped,
        SparseRounds = SparseRounds,
        Refreshes = Refreshes,
        RefreshedTokens = RefreshedTokens,
        IsLossless = lossless,
    };
}
