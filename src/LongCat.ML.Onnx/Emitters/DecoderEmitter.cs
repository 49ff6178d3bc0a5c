using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// The plain decoders (Llama, Mistral, Mixtral, Qwen2, Qwen3, Qwen3-MoE): in each layer a grouped-query attention over one paged cache, then a gated MLP or a
/// mixture of experts. Residual additions ride on the projection before them.
/// </summary>
[EmitterFamily(typeof(DecoderConfig))]
internal sealed class DecoderEmitter(DecoderConfig config) : PackedEmitter(config)
{
    public override bool HasDraft(Checkpoint checkpoint) => false;

    public override EmittedModel Emit(CheckpointWeights weights, ExternalData data, CacheType cacheType, bool draft)
    {
        GraphBuilder graph = new("model", data);
        ElementType type = ElementTypeOf(cacheType);
        Value inputIds = graph.Input("input_ids", ElementType.Int64, "T");
        StepInputs step = EmitStepInputs(graph);
        Value logitsIndex = graph.Input("logits_index", ElementType.Int64, "L");
        Value[] caches = [.. Enumerable.Range(0, config.NumLayers).Select(layer => EmitCache(graph, layer, type, config.CacheWidth))];

        Value h = EmitTokenEmbedding(graph, weights, inputIds);
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            string prefix = $"model.layers.{layer}";
            string name = $"layers.{layer}";
            Value attentionInput = EmitNorm(graph, weights, $"{prefix}.input_layernorm.weight", h, $"{name}.input_norm");
            Value a = EmitAttention(graph, weights, layer, attentionInput, h, step, caches[layer]);
            Value normed = EmitNorm(graph, weights, $"{prefix}.post_attention_layernorm.weight", a, $"{name}.post_norm");
            h = config.Mixture(layer) is { } mixture
                ? graph.Add(a, EmitMixture(graph, weights, mixture, layer, normed), $"{name}.output")
                : EmitMlp(graph, weights, $"{prefix}.mlp", normed, a, $"{name}.mlp", config.MlpBias);
        }

        EmitHead(graph, weights, h, "model.norm.weight", logitsIndex, "hidden");
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            graph.Output(new Value($"cache_out.{layer}"), type, "pages", "page", config.CacheWidth);
        }

        return new EmittedModel(graph, null, [.. Enumerable.Repeat(new CacheLayout(config.CacheWidth), config.NumLayers)], null, NgramNeighbors: 0);
    }

    /// <returns><c>residual + o_proj(attention(x))</c>.</returns>
    private Value EmitAttention(GraphBuilder graph, CheckpointWeights weights, int layer, Value x, Value residual, StepInputs step, Value cache)
    {
        string prefix = $"model.layers.{layer}.self_attn";
        string name = $"layers.{layer}.attention";
        PagedAttentionInputs inputs = new(
            EmitLinear(graph, weights, $"{prefix}.q_proj", x, $"{name}.query", config.QueryKeyValueBias),
            EmitLinear(graph, weights, $"{prefix}.k_proj", x, $"{name}.key", config.QueryKeyValueBias),
            EmitLinear(graph, weights, $"{prefix}.v_proj", x, $"{name}.value", config.QueryKeyValueBias),
            config.QueryKeyNorm ? Vector(graph, weights, $"{prefix}.q_norm.weight") : Value.None,
            config.QueryKeyNorm ? Vector(graph, weights, $"{prefix}.k_norm.weight") : Value.None,
            graph.Weight("rope.inv_freq", new ComputedTensor("rope.inv_freq", config.Rope.InverseFrequencies(config.HeadDim), config.HeadDim / 2)),
            step,
            cache);
        PagedAttentionAttributes attributes = new()
        {
            Heads = config.NumAttentionHeads,
            KeyValueHeads = config.NumKeyValueHeads,
            HeadDim = config.HeadDim,
            Window = config.Window(layer) ?? 0,
            Epsilon = config.RmsNormEps,
            SoftmaxScale = config.SoftmaxScale,
            RopeMultiplier = config.Rope.Multiplier,
        };
        (Value heads, _) = graph.PagedAttention(inputs, attributes, $"{name}.heads", $"cache_out.{layer}");
        return EmitLinear(graph, weights, $"{prefix}.o_proj", heads, $"{name}.output", config.OutputBias, residual);
    }

    private static Value EmitMixture(GraphBuilder graph, CheckpointWeights weights, DecoderMixtureConfig mixture, int layer, Value x)
    {
        string router = mixture.RouterName(layer);
        ExpertMixtureInputs inputs = new(
            x,
            graph.Weight(router, weights.Float32(router)),
            CorrectionBias: Value.None,
            Experts(mixture.GateProjection, mixture.GateName),
            Experts(mixture.UpProjection, mixture.UpName),
            Experts(mixture.DownProjection, mixture.DownName));
        ExpertMixtureAttributes attributes = new(mixture.TopK, mixture.NumExperts, ZeroExperts: 0, RoutedScalingFactor: 1, mixture.NormalizeTopK);
        return graph.ExpertMixture(inputs, attributes, $"layers.{layer}.mixture");

        Value Experts(string projection, Func<int, int, string> name)
        {
            string key = $"model.layers.{layer}.{mixture.BlockName}.experts.{projection}.weight";
            return graph.Weight(key, weights.ProjectionStack(key, Enumerable.Range(0, mixture.NumExperts).Select(expert => name(layer, expert))));
        }
    }
}
