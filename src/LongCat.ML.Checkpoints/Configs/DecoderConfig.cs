namespace LongCat.ML.Checkpoints;

/// <summary>
/// The plain decoders: Llama (arXiv 2302.13971, 2407.21783), Mistral (2310.06825), Qwen2 (2407.10671), Qwen3 and Qwen3-MoE (2505.09388), Mixtral (2401.04088).
/// Each layer is a grouped-query attention with rotary positions (the two halves of a head rotated against each other) and a gated MLP or a mixture of experts,
/// both behind an RMS norm and added to the residual stream.
/// </summary>
public sealed partial record DecoderConfig : ModelConfig
{
    /// <summary><c>intermediate_size</c>: width of the dense MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary><c>num_key_value_heads</c>: key and value heads; divides <see cref="ModelConfig.NumAttentionHeads"/>. Query head h reads head h / (heads / key-value heads).</summary>
    public required int NumKeyValueHeads { get; init; }

    /// <summary><c>head_dim</c>, or hidden_size / num_attention_heads where config.json gives none: query, key and value dimensions per head; even.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Whether <c>q_proj</c>, <c>k_proj</c> and <c>v_proj</c> have biases: always in Qwen2, by <c>attention_bias</c> in Llama and Qwen3.</summary>
    public bool QueryKeyValueBias { get; init; }

    /// <summary>Whether <c>o_proj</c> has a bias: by <c>attention_bias</c> in Llama and Qwen3.</summary>
    public bool OutputBias { get; init; }

    /// <summary><c>mlp_bias</c>: whether the three matrices of the dense MLP have biases (Llama).</summary>
    public bool MlpBias { get; init; }

    /// <summary>Whether each query and key head is RMS-normalized before its rotation (<c>q_norm</c>, <c>k_norm</c>; Qwen3).</summary>
    public bool QueryKeyNorm { get; init; }

    /// <summary>For each layer how many tokens a query sees, itself included; null where it sees all before it.</summary>
    public required IReadOnlyList<int?> Windows { get; init; }

    /// <summary>The mixture of the sparse layers; null in a dense model.</summary>
    public DecoderMixtureConfig? Experts { get; init; }

    /// <summary>For each layer whether it has the mixture instead of the dense MLP; empty in a dense model.</summary>
    public IReadOnlyList<bool> SparseLayers { get; init; } = [];

    /// <summary>What one token of one layer takes in the cache, in values: keys and values of all key-value heads.</summary>
    public int CacheWidth => 2 * NumKeyValueHeads * HeadDim;

    /// <summary>The softmax scale: head_dim^-½. YaRN's factor is on cos and sin alone in these families.</summary>
    public double SoftmaxScale => 1 / Math.Sqrt(HeadDim);

    /// <summary>How many tokens a query of a layer sees, itself included: key j is visible to the query at p when p - window &lt; j ≤ p.</summary>
    /// <param name="layer">0 to <see cref="ModelConfig.NumLayers"/> - 1.</param>
    /// <returns>At least 1, or null where there is no window.</returns>
    public int? Window(int layer) => Windows[layer];

    /// <summary>The mixture of a layer.</summary>
    /// <param name="layer">0 to <see cref="ModelConfig.NumLayers"/> - 1.</param>
    /// <returns>Its settings, or null where the layer has a dense MLP.</returns>
    public DecoderMixtureConfig? Mixture(int layer) => Experts is not null && SparseLayers[layer] ? Experts : null;
}
