using LongCat.ML.Onnx.Messages;

namespace LongCat.ML.Onnx;

/// <summary>The operators of the longcat domain; docs/design.md section 4 is their contract.</summary>
internal sealed partial class GraphBuilder
{
    public const string LongCatDomain = "longcat";

    /// <summary>
    /// <c>a · bᵀ (+ bias) (+ residual)</c> with <paramref name="b"/> [N, K] as it lies in the checkpoint, or a <see cref="PanelTensor"/>:
    /// the node says which, so a projection that nothing else reads only needs to be packed where it is defined.
    /// </summary>
    public Value MatMul(Value a, Value b, string output, Value? bias = null, Value? residual = null) =>
        Single(
            LongCatDomain,
            "MatMul",
            [a, b, bias ?? Value.None, residual ?? Value.None],
            output,
            _panels.TryGetValue(b.Name, out PanelTensor? panels)
                ? [NodeAttribute.Int("layout", 1), NodeAttribute.Int("out_features", panels.OutFeatures)]
                : []);

    /// <summary>Tables in the weights' own type, or all of 8-bit rows, which the node then says.</summary>
    public Value NGramEmbedding(NGramEmbeddingInputs inputs, NGramEmbeddingAttributes attributes, string output) =>
        Single(
            LongCatDomain,
            "NGramEmbedding",
            [inputs.InputIds, inputs.QueryStart, inputs.Context, inputs.Word, .. inputs.Tables, .. inputs.Projections],
            output,
            [
                NodeAttribute.Int("hash_vocab_size", attributes.HashVocabSize),
                NodeAttribute.Int("neighbor_num", attributes.NeighborNum),
                NodeAttribute.Int("split_num", attributes.SplitNum),
                NodeAttribute.Int("eos_token_id", attributes.EosTokenId),
                NodeAttribute.Ints("table_rows", attributes.TableRows),
                NodeAttribute.String("fusion", attributes.Fusion),
                NodeAttribute.Int("layout", inputs.Projections.All(projection => _panels.ContainsKey(projection.Name)) ? 1 : 0),
                .. inputs.Tables.All(table => _byteTables.Contains(table.Name)) ? [NodeAttribute.String("table_type", "int8")] : Array.Empty<AttributeProto>(),
            ]);

    /// <returns>The attention's output and the cache after it.</returns>
    public (Value Output, Value Cache) LatentAttention(LatentAttentionInputs inputs, LatentAttentionAttributes attributes, string output, string cacheOutput)
    {
        Node(
            LongCatDomain,
            "LatentAttention",
            [
                inputs.Query, inputs.Latent, inputs.LatentNorm, inputs.KvB, inputs.InverseFrequencies, inputs.Step.PositionIds,
                inputs.Step.QueryStart, inputs.Step.ContextLength, inputs.Step.BlockTable, inputs.Cache, Value.None, Value.None, inputs.Selected,
                .. Inputs(inputs.Sparse),
            ],
            [output, cacheOutput, .. Outputs(inputs.Sparse)],
            [
                NodeAttribute.Int("num_heads", attributes.Heads),
                NodeAttribute.Int("qk_nope_head_dim", attributes.NopeDim),
                NodeAttribute.Int("qk_rope_head_dim", attributes.RopeDim),
                NodeAttribute.Int("v_head_dim", attributes.ValueDim),
                NodeAttribute.Int("kv_lora_rank", attributes.LatentRank),
                NodeAttribute.Float("epsilon", attributes.Epsilon),
                NodeAttribute.Float("query_scale", attributes.QueryScale),
                NodeAttribute.Float("latent_scale", attributes.LatentScale),
                NodeAttribute.Float("softmax_scale", attributes.SoftmaxScale),
                NodeAttribute.Float("rope_multiplier", attributes.RopeMultiplier),
                .. Pattern(inputs.Step),
                .. Attribute(inputs.Sparse),
            ]);
        return (new Value(output), new Value(cacheOutput));
    }

    /// <returns>The keys that each token sees, int32 [T, top_k], and the cache after it.</returns>
    public (Value Selected, Value Cache) AttentionIndexer(AttentionIndexerInputs inputs, AttentionIndexerAttributes attributes, string output, string cacheOutput)
    {
        Node(
            LongCatDomain,
            "AttentionIndexer",
            [
                inputs.Query, inputs.Key, inputs.Weights, inputs.KeyNorm, inputs.InverseFrequencies, inputs.Step.PositionIds,
                inputs.Step.QueryStart, inputs.Step.ContextLength, inputs.Step.BlockTable, inputs.Cache,
            ],
            [output, cacheOutput],
            NodeAttribute.Int("num_heads", attributes.Indexer.NumHeads),
            NodeAttribute.Int("head_dim", attributes.Indexer.HeadDim),
            NodeAttribute.Int("rope_dim", attributes.RopeDim),
            NodeAttribute.Int("top_k", attributes.Indexer.TopK),
            NodeAttribute.Int("init_tokens", attributes.Indexer.InitTokens),
            NodeAttribute.Int("local_tokens", attributes.Indexer.LocalTokens),
            NodeAttribute.Float("epsilon", attributes.Epsilon),
            NodeAttribute.Float("rope_multiplier", attributes.RopeMultiplier));
        return (new Value(output), new Value(cacheOutput));
    }

    /// <returns>The attention's output and the cache after it.</returns>
    public (Value Output, Value Cache) PagedAttention(PagedAttentionInputs inputs, PagedAttentionAttributes attributes, string output, string cacheOutput)
    {
        Node(
            LongCatDomain,
            "PagedAttention",
            [
                inputs.Query, inputs.Key, inputs.Value, inputs.QueryNorm, inputs.KeyNorm, inputs.InverseFrequencies, inputs.Step.PositionIds,
                inputs.Step.QueryStart, inputs.Step.ContextLength, inputs.Step.BlockTable, inputs.Cache,
                .. Inputs(inputs.Sparse),
            ],
            [output, cacheOutput, .. Outputs(inputs.Sparse)],
            [
                NodeAttribute.Int("num_heads", attributes.Heads),
                NodeAttribute.Int("num_kv_heads", attributes.KeyValueHeads),
                NodeAttribute.Int("head_dim", attributes.HeadDim),
                NodeAttribute.Int("window", attributes.Window),
                NodeAttribute.Float("epsilon", attributes.Epsilon),
                NodeAttribute.Float("softmax_scale", attributes.SoftmaxScale),
                NodeAttribute.Float("rope_multiplier", attributes.RopeMultiplier),
                .. Pattern(inputs.Step),
                .. Attribute(inputs.Sparse),
            ]);
        return (new Value(output), new Value(cacheOutput));
    }

    /// <summary>The up and the down projection of a gated MLP, whose sparse rows leave out the channels that their gates close.</summary>
    public Value SparseGatedMlp(SparseGatedMlpInputs inputs, (long Hidden, long Intermediate) sizes, string output) =>
        Single(
            LongCatDomain,
            "SparseGatedMlp",
            [
                inputs.X, inputs.Activation, inputs.Up, inputs.Down, inputs.UpChannels, inputs.DownChannels, inputs.UpBias, inputs.DownBias, inputs.Residual, inputs.Rows,
                inputs.Threshold,
            ],
            output,
            NodeAttribute.Int("hidden_size", sizes.Hidden),
            NodeAttribute.Int("intermediate_size", sizes.Intermediate));

    /// <summary>The experts' stacks lie as in the checkpoint, or all three in panels, which the node then says.</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="attributes">The attributes.</param>
    /// <param name="sparse">What it is told about sparse rows, or null.</param>
    /// <param name="output">The output's name.</param>
    /// <param name="probes">Names for the chosen experts and what each made inside, or none.</param>
    public Value ExpertMixture(ExpertMixtureInputs inputs, ExpertMixtureAttributes attributes, SparseExperts? sparse, string output, params ReadOnlySpan<string> probes)
    {
        Node(
            LongCatDomain,
            "ExpertMixture",
            [inputs.X, inputs.Router, inputs.CorrectionBias, inputs.Gate, inputs.Up, inputs.Down, .. Skipping(sparse, before: 6)],
            [output, .. probes],
            [
                .. Routing(attributes, sparse),
                .. _panels.TryGetValue(inputs.Gate.Name, out PanelTensor? panels)
                    ? [NodeAttribute.Int("layout", 1), NodeAttribute.Int("intermediate_size", panels.OutFeatures)]
                    : Array.Empty<AttributeProto>(),
            ]);
        return new Value(output);
    }

    /// <summary>What both attentions take behind their other inputs.</summary>
    private static Value[] Inputs(SparseAttentionInputs? sparse) =>
        sparse is null ? [] : [sparse.Sparse.Rows, sparse.Sparse.Attention, sparse.Sparse.Anchors, sparse.Means, sparse.Blocks];

    private static string[] Outputs(SparseAttentionInputs? sparse) => sparse is null ? [] : [sparse.MeansOutput, sparse.BlocksOutput];

    private static AttributeProto[] Attribute(SparseAttentionInputs? sparse) => sparse is null ? [] : [NodeAttribute.Int("attention", sparse.Attention)];

    private static AttributeProto[] Pattern(StepInputs step) => step.Pattern is not { } streaming
        ? [NodeAttribute.String("pattern", "full")]
        :
        [
            NodeAttribute.String("pattern", "streaming"),
            NodeAttribute.Int("block_size", streaming.BlockSize),
            NodeAttribute.Int("sink_blocks", streaming.SinkBlocks),
            NodeAttribute.Int("local_blocks", streaming.LocalBlocks),
        ];

    /// <summary>The inputs behind an ExpertMixture's other inputs, of which it has <paramref name="before"/>.</summary>
    private static Value[] Skipping(SparseExperts? sparse, int before)
    {
        const int First = 22;
        return sparse is null ? [] : [.. Enumerable.Repeat(Value.None, First - before), sparse.Rows, sparse.Most, sparse.Betas];
    }

    private static AttributeProto[] Routing(ExpertMixtureAttributes attributes, SparseExperts? sparse) =>
    [
        NodeAttribute.Int("top_k", attributes.TopK),
        NodeAttribute.Int("num_experts", attributes.Experts),
        NodeAttribute.Int("num_zero_experts", attributes.ZeroExperts),
        NodeAttribute.Float("routed_scaling_factor", attributes.RoutedScalingFactor),
        NodeAttribute.Int("normalize", attributes.Normalize ? 1 : 0),
        NodeAttribute.String("zero_expert_type", attributes.ZeroExpertType),
        .. sparse is null ? Array.Empty<AttributeProto>() : [NodeAttribute.Int("sparse_layer", sparse.Layer)],
    ];
}
