using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference;

/// <summary>
/// What sparse verification must know of a model, measured on texts by <c>longcat calibrate-sparse</c>: which attentions choose blocks of keys for those behind them, and how little weight the least experts
/// of a token usually have. Immutable.
/// </summary>
/// <remarks>arXiv 2512.21911: anchors by the Jaccard similarity of the chosen sets; expert skipping by the medians of the tails of the weights (Lu et al. 2024 for k = 2).</remarks>
public sealed partial record SparseCalibration
{
    /// <summary>The file's name beside the model.</summary>
    public const string FileName = "sparse_verification.json";

    /// <summary><see cref="ModelManifest.ContentHash"/> of the model that was measured: another one has other anchors.</summary>
    public required string ContentHash { get; init; }

    /// <summary>Tokens that were read.</summary>
    public required long Tokens { get; init; }

    /// <summary>The attentions that choose their own blocks, counted like the model's caches, ascending; 0 is among them.</summary>
    public required IReadOnlyList<int> Anchors { get; init; }

    /// <summary>The similarity below which an attention became an anchor, 0 to 1.</summary>
    public required double AnchorThreshold { get; init; }

    /// <summary>
    /// For each attention the mean Jaccard similarity of the blocks that it would choose and those of the anchor before it, 0 to 1. 1 for the first attention, for those that never choose
    /// (streaming ones), and where no text was longer than the budget's <see cref="AttentionBudget.L0"/>.
    /// </summary>
    public required IReadOnlyList<double> Similarity { get; init; }

    /// <summary>Choices of blocks that <see cref="Similarity"/> is the mean of; 0 where no text was long enough, and every attention is an anchor then.</summary>
    public required long Choices { get; init; }

    /// <summary>
    /// For each mixture of experts, [k-1]: the median over tokens of the share that the j least experts have of the token's weights, for j = 1 to k-1. Only experts with weights count. Empty for models
    /// without experts.
    /// </summary>
    public required IReadOnlyList<IReadOnlyList<float>> ExpertShares { get; init; }

    /// <summary>The thresholds of <see cref="Activity"/>, ascending.</summary>
    public required IReadOnlyList<float> Thresholds { get; init; }

    /// <summary>How often channels hardly fire, for each feed-forward network that can skip some. Says what <see cref="SparseVerification.FfnThreshold"/> would skip; changes nothing.</summary>
    public required IReadOnlyList<ChannelActivity> Activity { get; init; }

    /// <exception cref="ArgumentException">The values contradict each other; the message begins with <paramref name="name"/>.</exception>
    internal void Check(string name)
    {
        Require(ContentHash is not null && Anchors is not null && Similarity is not null && ExpertShares is not null && Thresholds is not null && Activity is not null, "a part that is null", "none");
        Require(Tokens >= 0 && Choices >= 0, $"{Tokens} tokens and {Choices} choices", "0 or more");
        Require(AnchorThreshold is >= 0 and <= 1, $"the anchor threshold {AnchorThreshold}", "0 to 1");
        Require(Anchors!.Count > 0 && Anchors[0] == 0, $"the anchors [{string.Join(", ", Anchors)}]", "attention 0 and further ones, ascending");
        for (int i = 1; i < Anchors.Count; i++)
        {
            Require(Anchors[i] > Anchors[i - 1] && Anchors[i] < Similarity!.Count, $"the anchors [{string.Join(", ", Anchors)}]", $"indexes of {Similarity!.Count} attentions, ascending");
        }

        Require(Similarity!.All(IsShare), $"the similarities [{string.Join(", ", Similarity!)}]", "0 to 1");
        foreach (IReadOnlyList<float> shares in ExpertShares!)
        {
            Require(shares is not null && shares.All(share => IsShare(share)), "an expert share", "numbers from 0 to 1");
            Require(shares!.Count == ExpertShares[0].Count, $"{shares.Count} expert shares", $"{ExpertShares[0].Count}, as for the first mixture");
        }

        Require(Thresholds!.All(float.IsFinite), $"the thresholds [{string.Join(", ", Thresholds!)}]", "finite numbers");
        foreach (ChannelActivity activity in Activity!)
        {
            Require(activity?.Network is not null && activity.Below?.Count == Thresholds!.Count && activity.Below.All(IsShare), "a network's activity", $"its name and {Thresholds!.Count} shares from 0 to 1");
        }

        void Require(bool condition, string what, string expected)
        {
            if (!condition)
            {
                throw new ArgumentException($"{name} has {what}; expected {expected}.", name);
            }
        }
    }

    private static bool IsShare(double value) => value is >= 0 and <= 1;
}
