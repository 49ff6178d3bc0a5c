using System.Globalization;

namespace LongCat.ML.Checkpoints;

public sealed partial record DecoderConfig
{
    /// <summary>
    /// Every tensor of the model under its published name: embedding, layers, final norm, head. Modules, ONNX emitters and
    /// <see cref="Checkpoint.Validate(bool?)"/> share this list. A tied head (<see cref="ModelConfig.TieWordEmbeddings"/>) is no tensor of its own.
    /// </summary>
    /// <param name="withMtp">Not used: these families have no multi-token-prediction layers.</param>
    /// <returns>Names, shapes and groups in the order of the forward pass.</returns>
    public override IReadOnlyList<ExpectedTensor> ExpectedTensors(bool withMtp)
    {
        List<ExpectedTensor> list = [];
        Add(TensorGroup.Embedding, EmbeddingName, VocabSize, HiddenSize);
        for (int layer = 0; layer < NumLayers; layer++)
        {
            string prefix = string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}.");
            Add(TensorGroup.Norms, $"{prefix}input_layernorm.weight", HiddenSize);
            AddAttention($"{prefix}self_attn.");
            Add(TensorGroup.Norms, $"{prefix}post_attention_layernorm.weight", HiddenSize);
            if (Mixture(layer) is { } mixture)
            {
                AddMixture(mixture, layer);
            }
            else
            {
                AddLinear(TensorGroup.Dense, $"{prefix}mlp.gate_proj", IntermediateSize, HiddenSize, MlpBias);
                AddLinear(TensorGroup.Dense, $"{prefix}mlp.up_proj", IntermediateSize, HiddenSize, MlpBias);
                AddLinear(TensorGroup.Dense, $"{prefix}mlp.down_proj", HiddenSize, IntermediateSize, MlpBias);
            }
        }

        Add(TensorGroup.Norms, "model.norm.weight", HiddenSize);
        if (!TieWordEmbeddings)
        {
            Add(TensorGroup.Head, HeadName, VocabSize, HiddenSize);
        }

        return list;

        void Add(TensorGroup group, string name, params long[] shape) => list.Add(new ExpectedTensor(name, shape, group));

        void AddLinear(TensorGroup group, string name, long outputs, long inputs, bool bias)
        {
            Add(group, $"{name}.weight", outputs, inputs);
            if (bias)
            {
                Add(group, $"{name}.bias", outputs);
            }
        }

        void AddAttention(string prefix)
        {
            long query = (long)NumAttentionHeads * HeadDim;
            long keyValue = (long)NumKeyValueHeads * HeadDim;
            AddLinear(TensorGroup.Attention, $"{prefix}q_proj", query, HiddenSize, QueryKeyValueBias);
            AddLinear(TensorGroup.Attention, $"{prefix}k_proj", keyValue, HiddenSize, QueryKeyValueBias);
            AddLinear(TensorGroup.Attention, $"{prefix}v_proj", keyValue, HiddenSize, QueryKeyValueBias);
            if (QueryKeyNorm)
            {
                Add(TensorGroup.Attention, $"{prefix}q_norm.weight", HeadDim);
                Add(TensorGroup.Attention, $"{prefix}k_norm.weight", HeadDim);
            }

            AddLinear(TensorGroup.Attention, $"{prefix}o_proj", HiddenSize, query, OutputBias);
        }

        void AddMixture(DecoderMixtureConfig mixture, int layer)
        {
            Add(TensorGroup.Router, mixture.RouterName(layer), mixture.NumExperts, HiddenSize);
            for (int e = 0; e < mixture.NumExperts; e++)
            {
                Add(TensorGroup.Experts, mixture.GateName(layer, e), mixture.ExpertSize, HiddenSize);
                Add(TensorGroup.Experts, mixture.UpName(layer, e), mixture.ExpertSize, HiddenSize);
                Add(TensorGroup.Experts, mixture.DownName(layer, e), HiddenSize, mixture.ExpertSize);
            }
        }
    }
}
