using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>What the families share that are written with the longcat operators: the step's inputs, embedding, norms, gated MLPs and the head (docs/design.md section 3).</summary>
internal abstract class PackedEmitter(ModelConfig config) : ModelEmitter
{
    protected const string EmbeddingName = "model.embed_tokens.weight";

    protected static ElementType ElementTypeOf(CacheType cacheType) => cacheType switch
    {
        CacheType.BFloat16 => ElementType.Bfloat16,
        CacheType.Int8 => ElementType.Uint8,
        _ => ElementType.Float,
    };

    /// <summary>Elements of a token in a cache: its values, and behind int8 ones the bytes of their float32 scales.</summary>
    protected static int LineWidth(ElementType type, int values, int scales) => type == ElementType.Uint8 ? values + (sizeof(float) * scales) : values;

    /// <summary>The step's inputs of an attention that sees the whole context.</summary>
    protected static StepInputs EmitStepInputs(GraphBuilder graph) =>
        new(
            graph.Input("position_ids", ElementType.Int64, "T"),
            graph.Input("query_start", ElementType.Int32, "S_plus_1"),
            graph.Input("context_length", ElementType.Int32, "S"),
            graph.Input("block_table", ElementType.Int32, "S", "B"));

    /// <summary>For every attention of the model its inputs: those that stream have a table of their own, which the graph has an input for where there are any.</summary>
    protected IReadOnlyList<StepInputs> EmitAttentionSteps(GraphBuilder graph)
    {
        StepInputs full = EmitStepInputs(graph);
        StepInputs streaming = config.Streaming is null ? full : full with { BlockTable = graph.Input("streaming_block_table", ElementType.Int32, "S", "B"), Pattern = config.Streaming };
        return [.. Enumerable.Range(0, config.NumAttentions).Select(attention => config.Streaming?.IsStreaming(attention) == true ? streaming : full)];
    }

    protected static Value EmitCache(GraphBuilder graph, int index, StepInputs step, ElementType type, int width) => graph.Input($"cache.{index}", type, Pages(step), "page", width);

    protected static void EmitCacheOutput(GraphBuilder graph, int index, StepInputs step, ElementType type, int width) =>
        graph.Output(new Value($"cache_out.{index}"), type, Pages(step), "page", width);

    protected Value EmitTokenEmbedding(ModelWriter writer, Value inputIds) => writer.TokenEmbedding(inputIds, EmbeddingName, config.TieWordEmbeddings, "embedding");

    /// <summary>A norm that linear layers read.</summary>
    protected LinearInput EmitNorm(ModelWriter writer, string weight, Value x, string output, double? epsilon = null) =>
        writer.Norm(weight, x, epsilon ?? config.RmsNormEps, output);

    /// <summary>A norm that is read as it is.</summary>
    protected Value EmitFloatNorm(ModelWriter writer, string weight, Value x, string output) => writer.Graph.RmsNorm(x, writer.Vector(weight), config.RmsNormEps, output);

    /// <returns><c>residual + down(silu(gate(x)) * up(x))</c>.</returns>
    protected static Value EmitMlp(ModelWriter writer, string prefix, LinearInput x, Value residual, string name, bool bias = false) =>
        writer.GatedMlp(x, prefix, residual, name, bias);

    /// <summary>The hidden state after the final norm for every token, <c>logits</c> for the rows asked for.</summary>
    protected void EmitHead(ModelWriter writer, Value h, string norm, Value logitsIndex, string hiddenOutput)
    {
        Value hidden = EmitFloatNorm(writer, norm, h, hiddenOutput);
        Value rows = writer.Graph.Gather(hidden, logitsIndex, "logits_hidden");
        Value logits = writer.Head(rows, config.TieWordEmbeddings ? EmbeddingName : config.OutputHeadName, config.TieWordEmbeddings, "logits");
        writer.Graph.Output(logits, ElementType.Float, "L", config.VocabSize);
        writer.Graph.Output(hidden, ElementType.Float, "T", config.HiddenSize);
    }

    /// <summary>Streaming attentions keep fewer pages, so their caches are pools of a size of their own.</summary>
    private static Dimension Pages(StepInputs step) => step.Pattern is null ? "pages" : "streaming_pages";
}
