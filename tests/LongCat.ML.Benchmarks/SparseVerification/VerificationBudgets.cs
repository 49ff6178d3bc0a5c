using LongCat.ML.Inference;

namespace LongCat.ML.Benchmarks.SparseVerification;

/// <summary>The ways of sparse verification that are compared: each axis alone at several budgets, then together.</summary>
internal static class VerificationBudgets
{
    /// <param name="block">Tokens of a block of keys.</param>
    /// <param name="dense">Contexts of so many tokens are read whole (L0).</param>
    /// <param name="experts">How many experts a token may skip at most: 0 for models without.</param>
    /// <param name="calibration">What was measured on the model; null where there was no text to measure on: every attention chooses then.</param>
    public static IReadOnlyList<(string Name, Inference.SparseVerification Verification)> Of(int block, int dense, int experts, SparseCalibration? calibration)
    {
        List<(string, Inference.SparseVerification)> ways = [];
        foreach (double share in new[] { 0.5, 0.25, 0.125 })
        {
            ways.Add((FormattableString.Invariant($"attention {share}"), new() { Attention = Budget(share, null) }));
        }

        if (calibration is { Choices: > 0 } && calibration.Anchors.Count < calibration.Similarity.Count)
        {
            ways.Add((FormattableString.Invariant($"attention 0.25, {calibration.Anchors.Count} of {calibration.Similarity.Count} choose"), new() { Attention = Budget(0.25, calibration.Anchors) }));
        }

        foreach (float threshold in new[] { 0.01f, 0.05f, 0.1f })
        {
            ways.Add((FormattableString.Invariant($"channels {threshold}"), new() { FfnThreshold = threshold }));
        }

        for (int most = 1; most <= experts; most++)
        {
            ways.Add(($"experts {most}, always", new() { MaxSkippedExperts = most }));
            if (calibration is not null)
            {
                ways.Add(($"experts {most}, below the median", new() { MaxSkippedExperts = most, Calibration = calibration }));
            }
        }

        ways.Add(("attention 0.25, channels 0.05" + (experts > 0 ? ", experts 1" : ""), new()
        {
            Attention = Budget(0.25, null), FfnThreshold = 0.05f, MaxSkippedExperts = Math.Min(1, experts), Calibration = calibration,
        }));
        return ways;

        AttentionBudget Budget(double share, IReadOnlyList<int>? anchors) => new() { BlockSize = block, L0 = dense, Rho = share, Anchors = anchors };
    }
}
