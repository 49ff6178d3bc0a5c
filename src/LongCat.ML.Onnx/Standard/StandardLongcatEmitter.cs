using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// LongCat-Flash (arXiv 2509.01322) and LongCat-Flash-Lite (arXiv 2601.21204) with standard operators: absorbed latent attention over one cache
/// [batch, 1, longest, rank + rope] for each sub-layer, com.microsoft's MoE for the experts with weights, n-gram ids in int64.
/// </summary>
[EmitterFamily(typeof(LongcatFlashConfig), OperatorSet.Standard)]
internal sealed partial class StandardLongcatEmitter(LongcatFlashConfig config) : StandardEmitter(config)
{
    protected override int NgramNeighbors => config.NGram?.NeighborNum ?? 0;

    protected override IReadOnlyList<CacheLayout> EmitModel(GraphBuilder graph, CheckpointWeights weights)
    {
        if (config.Indexer is not null)
        {
            throw new CheckpointException("config.json", "index_n_heads is set: standard operators have no indexer that chooses tokens (LongCat Sparse Attention); export with the longcat operators");
        }

        PaddedInputs inputs = EmitInputs(graph, positions: true);
        Value context = config.NGram is null ? Value.None : graph.Input("ngram_context", ElementType.Int64, "batch", config.NGram.NeighborNum - 1);
        Value[] caches = [.. Enumerable.Range(0, config.AttentionSubLayers)
            .Select(i => graph.Input($"past_key_values.{i}.key", ElementType.Float, "batch", 1, "longest", config.CacheWidth))];
        LatentStep step = EmitStep(graph, inputs);

        Value stream = config.NGram is null
            ? EmitRows(graph, EmbeddingName, weights.Table(EmbeddingName), inputs.InputIds, "embedding")
            : EmitNGramEmbedding(graph, weights, inputs.InputIds, context);
        Value normed = EmitNorm(graph, weights, "model.layers.0.input_layernorm.0.weight", stream, "layers.0.input_norm.0");
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            string next = layer + 1 < config.NumLayers ? $"model.layers.{layer + 1}.input_layernorm.0.weight" : "model.norm.weight";
            string nextName = layer + 1 < config.NumLayers ? $"layers.{layer + 1}.input_norm.0" : "hidden_states";
            (normed, stream) = EmitLayer(graph, weights, layer, (normed, stream), step, caches.AsSpan(2 * layer, 2), (next, nextName));
        }

        EmitHead(graph, weights, normed, inputs);
        for (int i = 0; i < caches.Length; i++)
        {
            graph.Output(new Value($"present.{i}.key"), ElementType.Float, "batch", 1, "longest", config.CacheWidth);
        }

        return [.. Enumerable.Repeat(new CacheLayout(config.CacheWidth), config.AttentionSubLayers)];
    }

    /// <summary>One layer (ScMoE); every residual addition is fused with the norm after it, the mixture joins the stream at the end.</summary>
    private (Value Normed, Value Stream) EmitLayer(
        GraphBuilder graph, CheckpointWeights weights, int layer, (Value Normed, Value Stream) x, LatentStep step, ReadOnlySpan<Value> caches, (string Weight, string Name) next)
    {
        string prefix = $"model.layers.{layer}";
        string name = $"layers.{layer}";
        Value attention0 = EmitAttention(graph, weights, Attention(0), x.Normed, step, caches[0], Streams(0));
        (Value n0, Value a0) = EmitAddNorm(graph, weights, $"{prefix}.post_attention_layernorm.0.weight", attention0, x.Stream, $"{name}.post_norm.0");
        Value mixture = EmitMixture(graph, weights, $"{prefix}.mlp", n0, step, $"{name}.mixture");
        Value mlp0 = EmitMlp(graph, weights, $"{prefix}.mlps.0", n0, $"{name}.mlp.0");
        (Value i1, Value b0) = EmitAddNorm(graph, weights, $"{prefix}.input_layernorm.1.weight", mlp0, a0, $"{name}.input_norm.1");
        Value attention1 = EmitAttention(graph, weights, Attention(1), i1, step, caches[1], Streams(1));
        (Value n1, Value a1) = EmitAddNorm(graph, weights, $"{prefix}.post_attention_layernorm.1.weight", attention1, b0, $"{name}.post_norm.1");
        Value mlp1 = EmitMlp(graph, weights, $"{prefix}.mlps.1", n1, $"{name}.mlp.1");
        Value output = graph.Add(mlp1, mixture, $"{name}.output");
        return EmitAddNorm(graph, weights, next.Weight, output, a1, next.Name);

        bool Streams(int sub) => config.Streaming?.IsStreaming((2 * layer) + sub) == true;

        AttentionNames Attention(int sub) => new($"{prefix}.self_attn.{sub}", $"{name}.attention.{sub}", $"present.{(2 * layer) + sub}.key");
    }
}
