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

    public override EmittedModel Emit(Emission emission)
    {
        ModelWriter writer = emission.Writer("model");
        GraphBuilder graph = writer.Graph;
        ElementType type = ElementTypeOf(emission.CacheType);
        int width = LineWidth(type, config.CacheWidth, scales: 2 * config.NumKeyValueHeads);
        Value inputIds = graph.Input("input_ids", ElementType.Int64, "T");
        IReadOnlyList<StepInputs> steps = EmitAttentionSteps(graph);
        Value logitsIndex = graph.Input("logits_index", ElementType.Int64, "L");
        SparseAttentions? sparse = emission.SparseVerification ? new SparseAttentions(graph, SparseLayout()) : null;
        writer.Sparse = sparse?.Inputs;
        Value[] caches = [.. Enumerable.Range(0, config.NumLayers).Select(layer => EmitCache(graph, layer, steps[layer], type, width))];
        sparse?.EmitMeans();

        Value h = EmitTokenEmbedding(writer, inputIds);
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            string prefix = $"model.layers.{layer}";
            string name = $"layers.{layer}";
            LinearInput attentionInput = EmitNorm(writer, $"{prefix}.input_layernorm.weight", h, $"{name}.input_norm");
            Value a = EmitAttention(writer, layer, attentionInput, h, steps[layer], caches[layer], sparse?.Of(layer));
            LinearInput normed = EmitNorm(writer, $"{prefix}.post_attention_layernorm.weight", a, $"{name}.post_norm");
            h = config.Mixture(layer) is { } mixture
                ? graph.Add(a, EmitMixture(writer, mixture, layer, normed), $"{name}.output")
                : EmitMlp(writer, $"{prefix}.mlp", normed, a, $"{name}.mlp", config.MlpBias);
        }

        EmitHead(writer, h, "model.norm.weight", logitsIndex, "hidden");
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            EmitCacheOutput(graph, layer, steps[layer], type, width);
        }

        sparse?.EmitMeansOutputs();
        writer.Complete();
        return new EmittedModel(graph, null, [.. Enumerable.Repeat(new CacheLayout(width), config.NumLayers)], null, NgramNeighbors: 0) { Sites = writer.Sites, SparseVerification = writer.WithFfnLayers(sparse?.Layout) };
    }

    /// <summary>Attentions that stream or have a window see a part of the context anyway.</summary>
    private SparseVerificationLayout SparseLayout()
    {
        int mixtures = Enumerable.Range(0, config.NumLayers).Count(layer => config.Mixture(layer) is { TopK: >= 2 });
        return new SparseVerificationLayout
        {
            MeanWidths = [.. Enumerable.Range(0, config.NumLayers).Select(layer => config.Streaming?.IsStreaming(layer) == true || config.Window(layer) is not null ? 0 : config.NumKeyValueHeads * config.HeadDim)],
            MoeLayers = mixtures,
            TopK = mixtures == 0 ? 0 : config.Experts!.TopK,
        };
    }

    /// <returns><c>residual + o_proj(attention(x))</c>.</returns>
    private Value EmitAttention(ModelWriter writer, int layer, LinearInput x, Value residual, StepInputs step, Value cache, SparseAttentionInputs? sparse)
    {
        string prefix = $"model.layers.{layer}.self_attn";
        string name = $"layers.{layer}.attention";
        PagedAttentionInputs inputs = new(
            writer.Linear(x, $"{prefix}.q_proj", $"{name}.query", config.QueryKeyValueBias),
            writer.Linear(x, $"{prefix}.k_proj", $"{name}.key", config.QueryKeyValueBias),
            writer.Linear(x, $"{prefix}.v_proj", $"{name}.value", config.QueryKeyValueBias),
            config.QueryKeyNorm ? writer.Vector($"{prefix}.q_norm.weight") : Value.None,
            config.QueryKeyNorm ? writer.Vector($"{prefix}.k_norm.weight") : Value.None,
            writer.Graph.Weight("rope.inv_freq", new ComputedTensor("rope.inv_freq", config.Rope.InverseFrequencies(config.HeadDim), config.HeadDim / 2)),
            step,
            cache)
        {
            Sparse = sparse,
        };
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
        (Value heads, _) = writer.Graph.PagedAttention(inputs, attributes, $"{name}.heads", $"cache_out.{layer}");
        return writer.Linear(writer.Input(heads), $"{prefix}.o_proj", $"{name}.output", config.OutputBias, residual);
    }

    private static Value EmitMixture(ModelWriter writer, DecoderMixtureConfig mixture, int layer, LinearInput x)
    {
        MixtureTensors tensors = new(
            mixture.RouterName(layer),
            CorrectionBias: null,
            Experts(mixture.GateProjection, mixture.GateName),
            Experts(mixture.UpProjection, mixture.UpName),
            Experts(mixture.DownProjection, mixture.DownName));
        ExpertMixtureAttributes attributes = new(mixture.TopK, mixture.NumExperts, ZeroExperts: 0, RoutedScalingFactor: 1, mixture.NormalizeTopK);
        return writer.Mixture(x, tensors, attributes, $"layers.{layer}.mixture");

        ExpertStack Experts(string projection, Func<int, int, string> name) => new(
            $"model.layers.{layer}.{mixture.BlockName}.experts.{projection}.weight", [.. Enumerable.Range(0, mixture.NumExperts).Select(expert => name(layer, expert))]);
    }
}
