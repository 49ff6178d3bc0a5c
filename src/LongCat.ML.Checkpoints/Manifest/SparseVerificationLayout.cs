using System.Collections.ObjectModel;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// What an export for sparse verification (arXiv 2512.21911) has beside other exports: inputs that say which rows of a step may be computed with a part of the context, of the
/// channels and of the experts, and beside the caches the means of their blocks of keys. See docs/design.md section 3.
/// </summary>
/// <remarks>Immutable; safe to share between threads. Two with the same numbers are equal.</remarks>
public sealed record SparseVerificationLayout
{
    private readonly ReadOnlyCollection<int> meanWidths = ReadOnlyCollection<int>.Empty;

    /// <summary>
    /// For every attention, counted as the caches are, the floats that the input <c>block_means.{i}</c> holds for each page of <c>cache.{i}</c>; 0 where the attention is never sparse (it
    /// streams, has a sliding window or an indexer) and there is no such input. At least one attention; 0 or more each.
    /// </summary>
    /// <exception cref="ArgumentNullException">The list is null.</exception>
    public required IReadOnlyList<int> MeanWidths
    {
        get => meanWidths;
        init
        {
            ArgumentNullException.ThrowIfNull(value, nameof(MeanWidths));
            meanWidths = Array.AsReadOnly<int>([.. value]);
        }
    }

    /// <summary>
    /// How many feed-forward networks leave out channels below the input <c>sparse_tau</c>: dense ones with float32 or bfloat16 weights. 0 where the input changes nothing: with 4-bit weights, and where all
    /// are mixtures of experts.
    /// </summary>
    public int FfnLayers { get; init; }

    /// <summary>How many layers have a mixture whose experts can be skipped, ascending by layer the rows of the input <c>sparse_expert_betas</c>; 0 where there are none, and then no such input.</summary>
    public int MoeLayers { get; init; }

    /// <summary>How many experts of these mixtures a token chooses: at least 2, or 0 where there are none.</summary>
    public int TopK { get; init; }

    /// <summary>How many attentions the model has: the length of the input <c>sparse_anchors</c>.</summary>
    public int Attentions => meanWidths.Count;

    /// <summary>What one page of all full attentions' caches takes in block means, in bytes.</summary>
    public long MeanBytesPerPage => sizeof(float) * meanWidths.Sum(width => (long)width);

    /// <summary>Whether both describe the same inputs.</summary>
    /// <param name="other">Another layout, or null.</param>
    /// <returns>True when all numbers are equal.</returns>
    public bool Equals(SparseVerificationLayout? other) => other is not null && FfnLayers == other.FfnLayers && MoeLayers == other.MoeLayers && TopK == other.TopK && meanWidths.SequenceEqual(other.meanWidths);

    /// <summary>Goes with <see cref="Equals(SparseVerificationLayout)"/>.</summary>
    /// <returns>A hash of all numbers.</returns>
    public override int GetHashCode() => meanWidths.Aggregate(HashCode.Combine(FfnLayers, MoeLayers, TopK), HashCode.Combine);
}
