using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>The frame of model.onnx: inputs, layers, final norm, logits.</summary>
internal sealed partial class LongcatFlashEmitter
{
    /// <returns>What the graph takes for sparse verification; null where it was not asked for.</returns>
    private SparseVerificationLayout? EmitModel(ModelWriter writer, ElementType cacheType, bool sparseVerification)
    {
        GraphBuilder graph = writer.Graph;
        Value inputIds = graph.Input("input_ids", ElementType.Int64, "T");
        IReadOnlyList<StepInputs> steps = EmitAttentionSteps(graph);
        Value ngramContext = config.NGram is null ? Value.None : graph.Input("ngram_context", ElementType.Int64, "S", config.NGram.NeighborNum - 1);
        Value logitsIndex = graph.Input("logits_index", ElementType.Int64, "L");
        SparseAttentions? sparse = sparseVerification ? new SparseAttentions(graph, SparseLayout()) : null;
        writer.Sparse = sparse?.Inputs;
        Value[] caches = [.. Enumerable.Range(0, config.AttentionSubLayers).Select(i => EmitCache(graph, i, steps[i], cacheType, LineWidth(cacheType)))];
        Value[] keys = config.Indexer is { } indexer
            ? [.. Enumerable.Range(0, config.NumLayers).Select(layer => EmitCache(graph, caches.Length + layer, steps[2 * layer], cacheType, indexer.HeadDim))]
            : [];
        sparse?.EmitMeans();

        Value h = config.NGram is null
            ? EmitTokenEmbedding(writer, inputIds)
            : EmitNGramEmbedding(writer, inputIds, steps[0], ngramContext);
        for (int layer = 0; layer < config.NumLayers; layer++)
        {
            h = EmitLayer(writer, layer, h, steps, caches, keys, sparse);
        }

        EmitHead(writer, h, "model.norm.weight", logitsIndex, "hidden");
        for (int i = 0; i < caches.Length; i++)
        {
            EmitCacheOutput(graph, i, steps[i], cacheType, LineWidth(cacheType));
        }

        for (int layer = 0; layer < keys.Length; layer++)
        {
            EmitCacheOutput(graph, caches.Length + layer, steps[2 * layer], cacheType, config.Indexer!.HeadDim);
        }

        sparse?.EmitMeansOutputs();
        writer.Complete();
        return writer.WithFfnLayers(sparse?.Layout);
    }

    /// <summary>Attentions that stream, or whose keys an indexer chooses, see a part of the context anyway.</summary>
    private SparseVerificationLayout SparseLayout()
    {
        bool mixtures = config.MoeTopK >= 2;
        return new SparseVerificationLayout
        {
            MeanWidths = [.. Enumerable.Range(0, config.AttentionSubLayers).Select(i => config.Indexer is not null || config.Streaming?.IsStreaming(i) == true ? 0 : config.CacheWidth)],
            MoeLayers = mixtures ? config.NumLayers : 0,
            TopK = mixtures ? config.MoeTopK : 0,
        };
    }

    /// <summary>
    /// One layer (ScMoE). The mixture sees the same normalized input as the first MLP and joins the stream only at the end of the layer:
    /// <c>y = (a1 + MLP1(n1)) + M</c>. Residual additions ride on the projection before them.
    /// </summary>
    private Value EmitLayer(ModelWriter writer, int layer, Value x, IReadOnlyList<StepInputs> steps, Value[] caches, Value[] keys, SparseAttentions? sparse)
    {
        int first = 2 * layer;
        string prefix = $"model.layers.{layer}";
        string name = $"layers.{layer}";
        LinearInput x0 = Norm($"{prefix}.input_layernorm.0.weight", x, $"{name}.input_norm.0");
        (Value, string)? indexer = keys.Length == 0 ? null : (keys[layer], $"cache_out.{caches.Length + layer}");
        (Value a0, Value selected) = EmitAttention(writer, Attention(prefix, 0), x0, x, steps[first], caches[first], Value.None, indexer, sparse?.Of(first));
        LinearInput n0 = Norm($"{prefix}.post_attention_layernorm.0.weight", a0, $"{name}.post_norm.0");
        Value mixture = EmitMixture(writer, $"{prefix}.mlp", n0, $"{name}.mixture");
        Value b0 = EmitMlp(writer, $"{prefix}.mlps.0", n0, a0, $"{name}.mlp.0");
        LinearInput x1 = Norm($"{prefix}.input_layernorm.1.weight", b0, $"{name}.input_norm.1");
        (Value a1, _) = EmitAttention(writer, Attention(prefix, 1), x1, b0, steps[first + 1], caches[first + 1], selected, null, sparse?.Of(first + 1));
        LinearInput n1 = Norm($"{prefix}.post_attention_layernorm.1.weight", a1, $"{name}.post_norm.1");
        Value b1 = EmitMlp(writer, $"{prefix}.mlps.1", n1, a1, $"{name}.mlp.1");
        return writer.Graph.Add(b1, mixture, $"{name}.output");

        LinearInput Norm(string weight, Value input, string output) => EmitNorm(writer, weight, input, output);

        AttentionNames Attention(string layerPrefix, int sub) =>
            new($"{layerPrefix}.self_attn.{sub}", $"{name}.attention.{sub}", $"cache_out.{first + sub}");
    }
}
