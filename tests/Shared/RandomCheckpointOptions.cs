namespace LongCat.ML.TestShared;

/// <summary>The sizes of a <see cref="RandomCheckpoint"/>; the defaults give a LongCat-Flash-Lite of about 0.6 MB.</summary>
internal sealed record RandomCheckpointOptions
{
    public int Seed { get; init; } = 1;

    /// <summary>272 = 16 special tokens, then the 256 bytes: what <see cref="Tokenizer"/> needs.</summary>
    public int VocabSize { get; init; } = 272;

    /// <summary>A multiple of the number of n-gram tables, (NeighborNum - 1) · SplitNum.</summary>
    public int HiddenSize { get; init; } = 48;

    public int Layers { get; init; } = 1;

    public int Heads { get; init; } = 2;

    public int LatentRank { get; init; } = 16;

    public int HeadDim { get; init; } = 16;

    public int RopeDim { get; init; } = 8;

    public int FfnSize { get; init; } = 64;

    public int ExpertSize { get; init; } = 32;

    public int Experts { get; init; } = 4;

    public int ZeroExperts { get; init; } = 2;

    public int TopK { get; init; } = 2;

    public int MaxPositions { get; init; } = 256;

    /// <summary>The n-gram embedding of Lite; without it the checkpoint is a LongCat-Flash.</summary>
    public bool NGram { get; init; } = true;

    public int NeighborNum { get; init; } = 4;

    public int SplitNum { get; init; } = 2;

    /// <summary>Rows of an n-gram table over the vocabulary.</summary>
    public double NGramRatio { get; init; } = 2;

    /// <summary>The n-gram keys and tensors as the LongcatCausalLM architecture spells them (oe_…).</summary>
    public bool OverEncodingNames { get; init; }

    /// <summary>LongCat Sparse Attention: an indexer in each layer, and one in the draft head. The architecture is LongcatCausalLM.</summary>
    public bool Indexer { get; init; }

    public int IndexHeads { get; init; } = 3;

    /// <summary>At least <see cref="RopeDim"/>.</summary>
    public int IndexHeadDim { get; init; } = 20;

    public int IndexTopK { get; init; } = 8;

    public int IndexInitTokens { get; init; } = 2;

    public int IndexLocalTokens { get; init; } = 3;

    /// <summary>A draft head.</summary>
    public bool Mtp { get; init; }

    /// <summary>YaRN from a quarter of <see cref="MaxPositions"/>.</summary>
    public bool Yarn { get; init; }

    /// <summary>Different scales for cos and sin and for the softmax with <see cref="Yarn"/>; equal ones cancel in cos and sin.</summary>
    public bool UnequalMScale { get; init; }

    /// <summary>Zero experts return nothing instead of their input.</summary>
    public bool DropZeroExperts { get; init; }

    /// <summary>Stored as bfloat16 (the router stays float32); float32 otherwise.</summary>
    public bool BFloat16 { get; init; }

    /// <summary>Every weight zero, which is quick: for tests of large checkpoints that run nothing.</summary>
    public bool Zeros { get; init; }

    /// <summary>A byte-level tokenizer.json without merges: token 16 + b is the byte b, 0..8 are LongCat's special tokens.</summary>
    public bool Tokenizer { get; init; }
}
