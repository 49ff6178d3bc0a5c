namespace LongCat.ML.Inference;

/// <summary>
/// What the verification of proposed tokens may leave out (arXiv 2512.21911): keys far from the query, channels of feed-forward networks that hardly fire, experts of little weight. Each is
/// exact while its value is the default; together they are the paper's hybrid. Immutable.
/// </summary>
/// <remarks>
/// This is lossy: tokens and log-probabilities of a round are those of an approximation, and they depend on which tokens were proposed together, hence on what else the engine computes.
/// <see cref="SpeculativeStatistics.IsLossless"/> says so. Prompts, scores, embeddings and steps without a proposal are computed exactly. The keys and values that a sparse round
/// leaves in the caches are approximate too: they are never shared with other requests, and a refresh computes them again (<see cref="RefreshEvery"/>). The model must be exported for it
/// (<c>longcat export --sparse-verification</c>).
/// </remarks>
public sealed record SparseVerification
{
    /// <summary>Which keys a round reads; null for all. Default null.</summary>
    public AttentionBudget? Attention { get; init; }

    /// <summary>
    /// Channels of a feed-forward network whose gate activation is smaller in magnitude are skipped in its other two projections; 0 or more, finite. 0: none. Default 0. The paper tries 0.01, 0.05
    /// and 0.1; what a value skips depends on the model (<see cref="SparseCalibration.Activity"/>).
    /// </summary>
    public float FfnThreshold { get; init; }

    /// <summary>
    /// The most experts with weights that a token may skip, 0 to k-1 of a model that chooses k. How many it skips is the calibration's to say: the most whose share of the token's weights is
    /// below their median; without a calibration it is always this many. Identity experts cost nothing and are neither skipped nor counted. Default 0.
    /// </summary>
    public int MaxSkippedExperts { get; init; }

    /// <summary>What <c>longcat calibrate-sparse</c> measured on the model. Null: that of the model's folder, where it holds one. Default null.</summary>
    public SparseCalibration? Calibration { get; init; }

    /// <summary>
    /// After so many steps over approximate keys and values a request computes all of these again, exactly, before it goes on; 0 to 65,536. 0: never. Default 32. The step after which nothing of the request
    /// is approximate gives one token, the exact model's choice for the tokens so far.
    /// </summary>
    public int RefreshEvery { get; init; } = 32;

    /// <summary>Whether nothing can be left out: the values of all axes are exact.</summary>
    public bool IsLossless => Attention is null && FfnThreshold == 0 && MaxSkippedExperts == 0;

    /// <summary>Whether a round over so many tokens of context can leave anything out.</summary>
    internal bool CanSkip(int context) => FfnThreshold > 0 || MaxSkippedExperts > 0 || context > (Attention?.L0 ?? int.MaxValue);

    /// <summary>The most approximate positions that a request has when its refresh is due.</summary>
    /// <param name="width">The most tokens of a proposal.</param>
    internal int MostApproximate(int width) => RefreshEvery * (width + 1);

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        Attention?.Check();
        if (!(FfnThreshold >= 0 && float.IsFinite(FfnThreshold)))
        {
            throw new ArgumentOutOfRangeException(nameof(FfnThreshold), FfnThreshold, $"SparseVerification.FfnThreshold is {FfnThreshold}; expected 0 (all channels) or a finite magnitude above it.");
        }

        if (MaxSkippedExperts < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(MaxSkippedExperts), MaxSkippedExperts, $"SparseVerification.MaxSkippedExperts is {MaxSkippedExperts}; expected 0 (none) or more.");
        }

        if (RefreshEvery is < 0 or > 1 << 16)
        {
            throw new ArgumentOutOfRangeException(nameof(RefreshEvery), RefreshEvery, $"SparseVerification.RefreshEvery is {RefreshEvery}; expected 0 (never) or 1 to {1 << 16}.");
        }

        Calibration?.Check("SparseVerification.Calibration");
    }
}
