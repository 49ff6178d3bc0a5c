namespace LongCat.ML.TestShared;

/// <summary>The sizes of a <see cref="RandomDecoder"/>; the defaults give a Llama of about 0.2 MB.</summary>
internal sealed record RandomDecoderOptions
{
    public int Seed { get; init; } = 1;

    /// <summary>One of the decoder families.</summary>
    public string Architecture { get; init; } = "LlamaForCausalLM";

    /// <summary>272 = 16 special tokens, then the 256 bytes: what <see cref="Tokenizer"/> needs.</summary>
    public int VocabSize { get; init; } = 272;

    public int HiddenSize { get; init; } = 48;

    public int IntermediateSize { get; init; } = 64;

    public int Layers { get; init; } = 2;

    public int Heads { get; init; } = 4;

    public int KeyValueHeads { get; init; } = 2;

    /// <summary>Null for hidden size / heads.</summary>
    public int? HeadDim { get; init; }

    /// <summary><c>attention_bias</c>, and <c>mlp_bias</c> for Llama.</summary>
    public bool Biases { get; init; }

    public bool Tied { get; init; }

    /// <summary><c>sliding_window</c>, switched on where the family has a switch.</summary>
    public int? Window { get; init; }

    /// <summary>The first layer with a window where the family can say so.</summary>
    public int FirstWindowLayer { get; init; }

    public int Experts { get; init; } = 4;

    public int TopK { get; init; } = 2;

    public int ExpertSize { get; init; } = 32;

    /// <summary><c>norm_topk_prob</c> of Qwen3-MoE.</summary>
    public bool NormalizeTopK { get; init; } = true;

    public int MaxPositions { get; init; } = 256;

    /// <summary>Llama-3 rope scaling from a quarter of <see cref="MaxPositions"/>.</summary>
    public bool Llama3Rope { get; init; }

    /// <summary>YaRN from a quarter of <see cref="MaxPositions"/>.</summary>
    public bool Yarn { get; init; }

    /// <summary>Stored as bfloat16 (the router stays float32); float32 otherwise.</summary>
    public bool BFloat16 { get; init; }

    /// <summary>A byte-level tokenizer.json without merges.</summary>
    public bool Tokenizer { get; init; }
}
