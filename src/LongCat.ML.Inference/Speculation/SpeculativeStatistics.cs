namespace LongCat.ML.Inference;

/// <summary>
/// Counters of speculative decoding since the engine was loaded: a snapshot, taken after the last finished step. Immutable. The names are those of ONNX Runtime GenAI's speculative
/// statistics. A round is one request's proposal of at least one token, verified in one step; a step may hold rounds of many requests.
/// </summary>
public sealed record SpeculativeStatistics
{
    /// <summary>Rounds.</summary>
    public long Rounds { get; init; }

    /// <summary>Tokens proposed.</summary>
    public long DraftTokensProposed { get; init; }

    /// <summary>Proposed tokens that were compared with the model's choice: those accepted and the first one rejected of each round.</summary>
    public long DraftTokensEvaluated { get; init; }

    /// <summary>Proposed tokens that the model chose too.</summary>
    public long DraftTokensAccepted { get; init; }

    /// <summary>Tokens that took the place of a rejected one: one for each round with a rejection.</summary>
    public long CorrectionTokens { get; init; }

    /// <summary>Tokens that came for nothing after a wholly accepted proposal.</summary>
    public long BonusTokens { get; init; }

    /// <summary>Tokens that rounds gave to their requests: accepted ones, corrections and bonus tokens.</summary>
    public long TokensEmitted { get; init; }

    /// <summary>Rounds whose proposal was accepted wholly.</summary>
    public long FullAcceptRounds { get; init; }

    /// <summary>Rounds whose proposal was accepted in part.</summary>
    public long PartialAcceptRounds { get; init; }

    /// <summary>Rounds that accepted nothing.</summary>
    public long ZeroAcceptRounds { get; init; }

    /// <summary>Rounds by the number of accepted tokens: 0 to 6, and 7 or more.</summary>
    public IReadOnlyList<long> AcceptanceLengthHistogram { get; init; } = new long[8];

    /// <summary>Runs of the draft head or draft model.</summary>
    public long DraftForwardPasses { get; init; }

    /// <summary>Steps of the model that held at least one round.</summary>
    public long TargetForwardPasses { get; init; }

    /// <summary>Tokens of speculating requests that were computed one at a time: nothing was found, there was no room, or a cooldown.</summary>
    public long StandardFallbackSteps { get; init; }

    /// <summary>The mean width of a proposal over the speculating requests that run now; 0 when there are none.</summary>
    public double EffectiveK { get; init; }

    /// <summary>How often a request's width grew, trials and their ends included.</summary>
    public long AdaptiveKIncreases { get; init; }

    /// <summary>How often a request's width shrank, trials and their ends included.</summary>
    public long AdaptiveKDecreases { get; init; }

    /// <summary>Rounds that entered the estimates of adaptive widths.</summary>
    public long AdaptiveKObservations { get; init; }

    /// <summary>Trials of a neighbouring width.</summary>
    public long AdaptiveKProbes { get; init; }

    /// <summary>How often a request went into cooldown.</summary>
    public long CooldownEntries { get; init; }

    /// <summary>Plain steps computed for cooldowns.</summary>
    public long CooldownSteps { get; init; }

    /// <summary>Lookups that found something to propose.</summary>
    public long NgramLookupHits { get; init; }

    /// <summary>Lookups that found nothing.</summary>
    public long NgramLookupMisses { get; init; }

    /// <summary>Tokens proposed by lookup.</summary>
    public long NgramLookupTokensProposed { get; init; }

    /// <summary>Those of them that were found with proposed tokens in the n-gram (<see cref="SpeculativeOptions.NGramChainedLookup"/>).</summary>
    public long NgramChainedTokensProposed { get; init; }

    /// <summary>Milliseconds spent on proposals.</summary>
    public double TotalDraftMs { get; init; }

    /// <summary>Milliseconds spent in steps of the model that held at least one round.</summary>
    public double TotalTargetMs { get; init; }

    /// <summary>Failures of the draft head or draft model. A failure costs a request nothing but its proposal; three in a row turn speculation off for this engine.</summary>
    public long DraftFailures { get; init; }

    /// <summary>Why speculation was turned off, or null.</summary>
    public string? Stopped { get; init; }

    /// <summary>Whether the output of every request is what it would be without speculation: unless <see cref="SpeculativeOptions.Verification"/> lets a verification leave something out.</summary>
    public bool IsLossless { get; init; } = true;

    /// <summary>Rounds that were verified sparsely; the others were exact.</summary>
    public long SparseRounds { get; init; }

    /// <summary>How often a request computed its approximate keys and values again (<see cref="SparseVerification.RefreshEvery"/>).</summary>
    public long Refreshes { get; init; }

    /// <summary>Tokens that were computed again for it.</summary>
    public long RefreshedTokens { get; init; }

    /// <summary>Accepted tokens for each evaluated one; 0 before the first round.</summary>
    public double AcceptanceRate => Ratio(DraftTokensAccepted, DraftTokensEvaluated);

    /// <summary>Tokens proposed for each round.</summary>
    public double AvgDraftTokensPerRound => Ratio(DraftTokensProposed, Rounds);

    /// <summary>Tokens that a round gave.</summary>
    public double MeanEmittedTokensPerRound => Ratio(TokensEmitted, Rounds);

    private static double Ratio(double part, double whole) => whole == 0 ? 0 : part / whole;
}
