namespace LongCat.ML.Inference;

/// <summary>
/// How much of a long context a sparse verification reads: whole blocks of keys, those whose mean key suits the round's first query best (arXiv 2512.21911, block retrieval). Immutable.
/// </summary>
/// <remarks>
/// Up to <see cref="L0"/> tokens of context nothing is left out. Beyond, ((L − L0)·<see cref="Rho"/> + L0)·H / <see cref="BlockSize"/> of the (head, block) pairs are read, H the number of key heads: the choice is
/// among all heads' blocks together. Latent attention has one set of blocks for all heads. The first blocks and the last ones are always read.
/// </remarks>
public sealed record AttentionBudget
{
    /// <summary>Tokens of a block of keys, 1 to 65,536. Default 64.</summary>
    public int BlockSize { get; init; } = 64;

    /// <summary>Contexts of up to so many tokens are read whole; 0 or more. Default 4096.</summary>
    public int L0 { get; init; } = 4096;

    /// <summary>The share of the tokens beyond <see cref="L0"/> that is read, 0 to 1, in steps of a thousandth. Default 0.25.</summary>
    public double Rho { get; init; } = 0.25;

    /// <summary>Blocks at the beginning of the context that are always read, 0 or more. Default 1.</summary>
    public int SinkBlocks { get; init; } = 1;

    /// <summary>Blocks at the end of the context that are always read, 1 or more: the last one holds the round's own tokens. Default 4.</summary>
    public int LocalBlocks { get; init; } = 4;

    /// <summary>
    /// The attentions that choose blocks of their own, counted like the model's caches, ascending; the others read the blocks of the nearest one before them. The first attention always
    /// chooses. Null: those of the calibration (<see cref="SparseVerification.Calibration"/>), or all where there is none. Default null.
    /// </summary>
    public IReadOnlyList<int>? Anchors { get; init; }

    /// <summary>Whether both say the same; anchors are compared one by one.</summary>
    /// <param name="other">Another budget, or null.</param>
    /// <returns>True when all values are equal.</returns>
    public bool Equals(AttentionBudget? other) =>
        other is not null && BlockSize == other.BlockSize && L0 == other.L0 && Rho.Equals(other.Rho) && SinkBlocks == other.SinkBlocks && LocalBlocks == other.LocalBlocks
        && (Anchors is null ? other.Anchors is null : other.Anchors is not null && Anchors.SequenceEqual(other.Anchors));

    /// <summary>Goes with <see cref="Equals(AttentionBudget)"/>.</summary>
    /// <returns>A hash of all values but the anchors.</returns>
    public override int GetHashCode() => HashCode.Combine(BlockSize, L0, Rho, SinkBlocks, LocalBlocks, Anchors?.Count);

    /// <summary><see cref="Rho"/> in thousandths, as the graph takes it.</summary>
    internal int RhoThousandths => (int)Math.Round(Rho * 1000);

    /// <exception cref="ArgumentException">A value is outside its range.</exception>
    internal void Check()
    {
        InRange(nameof(BlockSize), BlockSize, 1, 1 << 16);
        InRange(nameof(L0), L0, 0, 1 << 30);
        if (!(Rho >= 0 && Rho <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(Rho), Rho, $"AttentionBudget.Rho is {Rho}; expected the share of the context beyond L0 that is read, 0 to 1.");
        }

        InRange(nameof(SinkBlocks), SinkBlocks, 0, 1 << 16);
        InRange(nameof(LocalBlocks), LocalBlocks, 1, 1 << 16);
        for (int i = 0; i < Anchors?.Count; i++)
        {
            if (Anchors[i] < 0 || (i > 0 && Anchors[i] <= Anchors[i - 1]))
            {
                throw new ArgumentException($"AttentionBudget.Anchors is [{string.Join(", ", Anchors)}]; expected indexes of attentions from 0 on, ascending.", nameof(Anchors));
            }
        }
    }

    private static void InRange(string name, int value, int least, int most)
    {
        if (value < least || value > most)
        {
            throw new ArgumentOutOfRangeException(name, value, $"AttentionBudget.{name} is {value}; expected {least} to {most}.");
        }
    }
}
