namespace LongCat.ML.Checkpoints;

/// <summary>
/// LongCat-Flash (arXiv 2509.01322: Chat, Thinking) and LongCat-Flash-Lite (arXiv 2601.21204): latent attention, two attentions and two
/// dense feed-forward layers per logical layer, a shortcut mixture of experts with zero-computation experts, optionally an n-gram embedding
/// and a multi-token-prediction head.
/// </summary>
public sealed partial record LongcatFlashConfig : ModelConfig
{
    /// <summary><c>ffn_hidden_size</c>: width of the dense feed-forward layers.</summary>
    public required int FfnHiddenSize { get; init; }

    /// <summary><c>expert_ffn_hidden_size</c>: width of one expert.</summary>
    public required int ExpertFfnHiddenSize { get; init; }

    /// <summary><c>q_lora_rank</c>: width of the query latent.</summary>
    public required int QLoraRank { get; init; }

    /// <summary><c>kv_lora_rank</c>: width of the key and value latent.</summary>
    public required int KvLoraRank { get; init; }

    /// <summary><c>qk_nope_head_dim</c>: query and key dimensions per head without rotation.</summary>
    public required int QkNopeHeadDim { get; init; }

    /// <summary><c>qk_rope_head_dim</c>: rotated query and key dimensions per head; even.</summary>
    public required int QkRopeHeadDim { get; init; }

    /// <summary><c>v_head_dim</c>: value dimensions per head.</summary>
    public required int VHeadDim { get; init; }

    /// <summary><c>n_routed_experts</c> (E): experts with weights.</summary>
    public required int NumRoutedExperts { get; init; }

    /// <summary><c>zero_expert_num</c> (Z): experts without weights, with indices E to E+Z-1.</summary>
    public required int NumZeroExperts { get; init; }

    /// <summary><c>zero_expert_type</c>: what a zero expert returns.</summary>
    public required ZeroExpertType ZeroExpertType { get; init; }

    /// <summary><c>moe_topk</c>: experts chosen per token, zero experts included; at most E+Z.</summary>
    public required int MoeTopK { get; init; }

    /// <summary><c>routed_scaling_factor</c>: what every routing weight is multiplied by, zero experts included.</summary>
    public required double RoutedScalingFactor { get; init; }

    /// <summary><c>mla_scale_q_lora</c>: whether queries are multiplied by <see cref="QueryScale"/>.</summary>
    public bool MlaScaleQLora { get; init; } = true;

    /// <summary><c>mla_scale_kv_lora</c>: whether the normed latent is multiplied by <see cref="LatentScale"/>.</summary>
    public bool MlaScaleKvLora { get; init; } = true;

    /// <summary>
    /// The epsilon of <c>q_a_layernorm</c> and <c>kv_a_layernorm</c>. The reference implementation builds these two norms with its default,
    /// 1e-6, whatever <c>rms_norm_eps</c> says; some serving engines use <c>rms_norm_eps</c>. To follow those: <c>config with { LatentNormEps = config.RmsNormEps }</c>.
    /// </summary>
    public double LatentNormEps { get; init; } = 1e-6;

    /// <summary>The n-gram embedding; null for models with a plain one.</summary>
    public NGramConfig? NGram { get; init; }

    /// <summary>The indexer of LongCat Sparse Attention, one in each layer and one in the draft head; null for models whose queries see all keys.</summary>
    public AttentionIndexerConfig? Indexer { get; init; }

    /// <summary><c>mtp_replicate_modules</c>: whether one physical MTP layer serves all <see cref="ModelConfig.MtpLayers"/> steps.</summary>
    public bool MtpReplicateModules { get; init; }

    /// <summary>The MTP layers that have tensors of their own.</summary>
    public int PhysicalMtpLayers => MtpReplicateModules ? Math.Min(MtpLayers, 1) : MtpLayers;

    /// <summary>Query and key dimensions per head: nope + rope.</summary>
    public int QkHeadDim => QkNopeHeadDim + QkRopeHeadDim;

    /// <summary>What one token of one attention sub-layer takes in the cache, in values: kv_lora_rank + qk_rope_head_dim.</summary>
    public int CacheWidth => KvLoraRank + QkRopeHeadDim;

    /// <summary>Attention sub-layers of the main model: 2 per layer. Each has a cache; an indexer's keys are one more cache per layer.</summary>
    public int AttentionSubLayers => 2 * NumLayers;

    /// <inheritdoc/>
    public override int NumAttentions => AttentionSubLayers;

    /// <summary>s_q: √(hidden_size / q_lora_rank), or 1 without <see cref="MlaScaleQLora"/>.</summary>
    public double QueryScale => MlaScaleQLora ? Math.Sqrt((double)HiddenSize / QLoraRank) : 1;

    /// <summary>s_kv: √(hidden_size / kv_lora_rank), or 1 without <see cref="MlaScaleKvLora"/>.</summary>
    public double LatentScale => MlaScaleKvLora ? Math.Sqrt((double)HiddenSize / KvLoraRank) : 1;

    /// <summary>The softmax scale: QkHeadDim^-½ × <see cref="RopeConfig.SoftmaxFactor"/>.</summary>
    public double SoftmaxScale => Rope.SoftmaxFactor / Math.Sqrt(QkHeadDim);
}
