using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// The multi-token-prediction head as draft.onnx: one latent attention and one dense MLP over the joined embedding of token t+1 and hidden state t.
/// It uses the model's own word embedding (without n-grams) and output head, as the published inference engines do; the checkpoint's
/// <c>model.mtp.embed_tokens.weight</c> is not stored.
/// </summary>
internal sealed partial class LongcatFlashEmitter
{
    private const string DraftPrefix = "model.mtp.layers.0";

    public override bool HasDraft(Checkpoint checkpoint) => config.PhysicalMtpLayers switch
    {
        0 => false,
        1 => true,
        int layers => throw new CheckpointException(
            checkpoint.Folder, $"the checkpoint has {layers} different draft layers, expected one (which may be used several times). Export it without the draft head."),
    };

    private void EmitDraft(ModelWriter writer, ElementType cacheType)
    {
        GraphBuilder graph = writer.Graph;
        Value inputIds = graph.Input("input_ids", ElementType.Int64, "T");
        Value mainHidden = graph.Input("hidden", ElementType.Float, "T", config.HiddenSize);
        StepInputs step = EmitStepInputs(graph);
        Value logitsIndex = graph.Input("logits_index", ElementType.Int64, "L");
        Value cache = EmitCache(graph, 0, step, cacheType, LineWidth(cacheType));
        (Value, string)? keys = config.Indexer is { } indexer ? (EmitCache(graph, 1, step, cacheType, indexer.HeadDim), "cache_out.1") : null;

        Value embedding = EmitFloatNorm(writer, $"{DraftPrefix}.enorm.m.weight", EmitTokenEmbedding(writer, inputIds), "embedding_norm");
        Value hidden = EmitFloatNorm(writer, $"{DraftPrefix}.hnorm.m.weight", mainHidden, "hidden_norm");
        Value joined = graph.Concat([embedding, hidden], "joined");
        Value z = writer.Linear(writer.Input(joined), $"{DraftPrefix}.eh_proj", "joined.projected");

        LinearInput attentionInput = EmitNorm(writer, $"{DraftPrefix}.input_layernorm.weight", z, "draft.input_norm");
        AttentionNames names = new($"{DraftPrefix}.self_attn", "draft.attention", "cache_out.0");
        (Value a, _) = EmitAttention(writer, names, attentionInput, z, step, cache, Value.None, keys, sparse: null);
        LinearInput mlpInput = EmitNorm(writer, $"{DraftPrefix}.post_attention_layernorm.weight", a, "draft.post_norm");
        Value output = EmitMlp(writer, $"{DraftPrefix}.transformer_layer.mlp", mlpInput, a, "draft.mlp");

        EmitHead(writer, output, "model.mtp.norm.weight", logitsIndex, "hidden_out");
        EmitCacheOutput(graph, 0, step, cacheType, LineWidth(cacheType));
        if (config.Indexer is not null)
        {
            EmitCacheOutput(graph, 1, step, cacheType, config.Indexer.HeadDim);
        }

        writer.Complete();
    }
}
