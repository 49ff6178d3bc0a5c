using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>What the families share that are written with the longcat operators: the step's inputs, embedding, norms, gated MLPs and the head (docs/design.md section 3).</summary>
internal abstract class PackedEmitter(ModelConfig config) : ModelEmitter
{
    protected const string EmbeddingName = "model.embed_tokens.weight";

    protected static ElementType ElementTypeOf(CacheType cacheType) => cacheType == CacheType.BFloat16 ? ElementType.Bfloat16 : ElementType.Float;

    protected static StepInputs EmitStepInputs(GraphBuilder graph) =>
        new(
            graph.Input("position_ids", ElementType.Int64, "T"),
            graph.Input("query_start", ElementType.Int32, "S_plus_1"),
            graph.Input("context_length", ElementType.Int32, "S"),
            graph.Input("block_table", ElementType.Int32, "S", "B"));

    protected static Value EmitCache(GraphBuilder graph, int index, ElementType type, int width) => graph.Input($"cache.{index}", type, "pages", "page", width);

    protected Value EmitTokenEmbedding(GraphBuilder graph, CheckpointWeights weights, Value inputIds)
    {
        Value table = Matrix(graph, weights, EmbeddingName);
        return weights.MatrixType == ElementType.Float
            ? graph.Gather(table, inputIds, "embedding")
            : graph.Cast(graph.Gather(table, inputIds, "embedding.stored"), ElementType.Float, "embedding");
    }

    protected Value EmitNorm(GraphBuilder graph, CheckpointWeights weights, string weight, Value x, string output, double? epsilon = null) =>
        graph.RmsNorm(x, Vector(graph, weights, weight), epsilon ?? config.RmsNormEps, output);

    /// <returns><c>residual + down(silu(gate(x)) * up(x))</c>.</returns>
    protected static Value EmitMlp(GraphBuilder graph, CheckpointWeights weights, string prefix, Value x, Value residual, string name, bool bias = false)
    {
        Value gate = EmitLinear(graph, weights, $"{prefix}.gate_proj", x, $"{name}.gate", bias);
        Value up = EmitLinear(graph, weights, $"{prefix}.up_proj", x, $"{name}.up", bias);
        Value inner = graph.SiluMul(gate, up, $"{name}.inner");
        return EmitLinear(graph, weights, $"{prefix}.down_proj", inner, $"{name}.output", bias, residual);
    }

    /// <returns><c>x · weightᵀ (+ bias) (+ residual)</c>.</returns>
    protected static Value EmitLinear(GraphBuilder graph, CheckpointWeights weights, string module, Value x, string output, bool bias = false, Value? residual = null) =>
        graph.MatMul(x, Projection(graph, weights, $"{module}.weight"), output, bias ? Vector(graph, weights, $"{module}.bias") : null, residual);

    /// <summary>The hidden state after the final norm for every token, <c>logits</c> for the rows asked for. A tied head is the embedding's own initializer.</summary>
    protected void EmitHead(GraphBuilder graph, CheckpointWeights weights, Value h, string norm, Value logitsIndex, string hiddenOutput)
    {
        Value hidden = EmitNorm(graph, weights, norm, h, hiddenOutput);
        Value rows = graph.Gather(hidden, logitsIndex, "logits_hidden");
        Value head = config.TieWordEmbeddings ? Matrix(graph, weights, EmbeddingName) : Projection(graph, weights, config.OutputHeadName);
        Value logits = graph.MatMul(rows, head, "logits");
        graph.Output(logits, ElementType.Float, "L", config.VocabSize);
        graph.Output(hidden, ElementType.Float, "T", config.HiddenSize);
    }

    /// <summary>A matrix that only MatMul reads.</summary>
    protected static Value Projection(GraphBuilder graph, CheckpointWeights weights, string name) => graph.Weight(name, weights.Projection(name));

    protected static Value Matrix(GraphBuilder graph, CheckpointWeights weights, string name) => graph.Weight(name, weights.Matrix(name));

    /// <summary>A norm's weight or a bias, float32.</summary>
    protected static Value Vector(GraphBuilder graph, CheckpointWeights weights, string name) => graph.Weight(name, weights.Float32(name));
}
