using System.Globalization;

namespace LongCat.ML.Checkpoints;

public sealed partial record LongcatFlashConfig
{
    /// <summary>
    /// Every tensor of the model under its published name: embeddings, layers, final norm, head, then the MTP layers. Modules, ONNX
    /// emitters and <see cref="Checkpoint.Validate(bool?)"/> share this list.
    /// </summary>
    /// <param name="withMtp">Whether to include the tensors of the <see cref="PhysicalMtpLayers"/> MTP layers.</param>
    /// <returns>Names, shapes and groups in the order of the forward pass.</returns>
    public override IReadOnlyList<ExpectedTensor> ExpectedTensors(bool withMtp)
    {
        List<ExpectedTensor> list = [];
        void Add(TensorGroup group, string name, params long[] shape) => list.Add(new ExpectedTensor(name, shape, group));

        Add(TensorGroup.Embedding, "model.embed_tokens.weight", VocabSize, HiddenSize);
        if (NGram is { } ngram)
        {
            IReadOnlyList<long> rows = ngram.TableRows;
            for (int i = 0; i < rows.Count; i++)
            {
                Add(TensorGroup.NGram, ngram.TableName(i), rows[i], ngram.TableWidth);
            }

            for (int i = 0; i < rows.Count; i++)
            {
                Add(TensorGroup.NGram, ngram.ProjectionName(i), HiddenSize, ngram.TableWidth);
            }
        }

        for (int layer = 0; layer < NumLayers; layer++)
        {
            AddLayer(Add, string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}."));
        }

        Add(TensorGroup.Norms, "model.norm.weight", HiddenSize);
        Add(TensorGroup.Head, "lm_head.weight", VocabSize, HiddenSize);
        if (withMtp && PhysicalMtpLayers > 0)
        {
            for (int layer = 0; layer < PhysicalMtpLayers; layer++)
            {
                AddMtpLayer(Add, string.Create(CultureInfo.InvariantCulture, $"model.mtp.layers.{layer}."));
            }

            Add(TensorGroup.Mtp, "model.mtp.norm.weight", HiddenSize);
        }

        return list;
    }

    private delegate void Adder(TensorGroup group, string name, params long[] shape);

    private void AddLayer(Adder add, string prefix)
    {
        for (int s = 0; s < 2; s++)
        {
            add(TensorGroup.Norms, $"{prefix}input_layernorm.{s}.weight", HiddenSize);
            AddAttention(add, TensorGroup.Attention, $"{prefix}self_attn.{s}.");
            if (s == 0)
            {
                AddIndexer(add, TensorGroup.Indexer, $"{prefix}self_attn.0.indexer.");
            }

            add(TensorGroup.Norms, $"{prefix}post_attention_layernorm.{s}.weight", HiddenSize);
            AddFeedForward(add, TensorGroup.Dense, $"{prefix}mlps.{s}.", FfnHiddenSize);
        }

        int candidates = NumRoutedExperts + NumZeroExperts;
        add(TensorGroup.Router, $"{prefix}mlp.router.classifier.weight", candidates, HiddenSize);
        add(TensorGroup.Router, $"{prefix}mlp.router.e_score_correction_bias", candidates);
        for (int e = 0; e < NumRoutedExperts; e++)
        {
            AddFeedForward(add, TensorGroup.Experts, string.Create(CultureInfo.InvariantCulture, $"{prefix}mlp.experts.{e}."), ExpertFfnHiddenSize);
        }
    }

    private void AddMtpLayer(Adder add, string prefix)
    {
        add(TensorGroup.Mtp, $"{prefix}enorm.m.weight", HiddenSize);
        add(TensorGroup.Mtp, $"{prefix}hnorm.m.weight", HiddenSize);
        add(TensorGroup.Mtp, $"{prefix}eh_proj.weight", HiddenSize, 2L * HiddenSize);
        add(TensorGroup.Mtp, $"{prefix}input_layernorm.weight", HiddenSize);
        AddAttention(add, TensorGroup.Mtp, $"{prefix}self_attn.");
        AddIndexer(add, TensorGroup.Mtp, $"{prefix}self_attn.indexer.");
        add(TensorGroup.Mtp, $"{prefix}post_attention_layernorm.weight", HiddenSize);
        AddFeedForward(add, TensorGroup.Mtp, $"{prefix}transformer_layer.mlp.", FfnHiddenSize);
    }

    private void AddAttention(Adder add, TensorGroup group, string prefix)
    {
        long heads = NumAttentionHeads;
        add(group, $"{prefix}q_a_proj.weight", QLoraRank, HiddenSize);
        add(group, $"{prefix}q_a_layernorm.weight", QLoraRank);
        add(group, $"{prefix}q_b_proj.weight", heads * QkHeadDim, QLoraRank);
        add(group, $"{prefix}kv_a_proj_with_mqa.weight", CacheWidth, HiddenSize);
        add(group, $"{prefix}kv_a_layernorm.weight", KvLoraRank);
        add(group, $"{prefix}kv_b_proj.weight", heads * (QkNopeHeadDim + VHeadDim), KvLoraRank);
        add(group, $"{prefix}o_proj.weight", HiddenSize, heads * VHeadDim);
    }

    private void AddIndexer(Adder add, TensorGroup group, string prefix)
    {
        if (Indexer is { } indexer)
        {
            add(group, $"{prefix}wq_b.weight", (long)indexer.NumHeads * indexer.HeadDim, QLoraRank);
            add(group, $"{prefix}wk.weight", indexer.HeadDim, HiddenSize);
            add(group, $"{prefix}k_norm.weight", indexer.HeadDim);
            add(group, $"{prefix}weights_proj.weight", indexer.NumHeads, HiddenSize);
        }
    }

    private void AddFeedForward(Adder add, TensorGroup group, string prefix, int width)
    {
        add(group, $"{prefix}gate_proj.weight", width, HiddenSize);
        add(group, $"{prefix}up_proj.weight", width, HiddenSize);
        add(group, $"{prefix}down_proj.weight", HiddenSize, width);
    }
}
