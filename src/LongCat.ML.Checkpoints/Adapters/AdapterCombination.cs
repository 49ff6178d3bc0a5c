namespace LongCat.ML.Checkpoints;

/// <summary>How adapters are combined into one; the names are those of PEFT's <c>add_weighted_adapter</c>.</summary>
public enum AdapterCombination
{
    /// <summary>Exact: the matrices one after another, of the rank of all together.</summary>
    Cat,

    /// <summary>The nearest matrices of a chosen rank to the weighted sum of the changes, by its singular values (in PEFT the scale counts twice here; in this library once).</summary>
    Svd,

    /// <summary>Weighted sums of the A and of the B, each by itself: not the sum of the changes, but of the same rank. For adapters that were trained from each other.</summary>
    Linear,

    /// <summary>TIES (arXiv 2306.01708) on A and B: the largest values of each adapter, of those the ones whose sign the majority has, averaged.</summary>
    Ties,

    /// <summary>DARE (arXiv 2311.03099) on A and B: values dropped at random, the rest scaled up, then summed.</summary>
    DareLinear,

    /// <summary>DARE's random drop, then the election of signs of <see cref="Ties"/>.</summary>
    DareTies,

    /// <summary>The largest values of each adapter's A and B, then summed.</summary>
    MagnitudePrune,
}
