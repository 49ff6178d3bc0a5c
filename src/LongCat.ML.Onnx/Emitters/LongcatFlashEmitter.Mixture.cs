using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The dense MLPs and the mixture of experts with zero-computation experts.</summary>
internal sealed partial class LongcatFlashEmitter
{
    /// <returns><c>residual + down(silu(gate(x)) * up(x))</c>.</returns>
    private static Value EmitMlp(GraphBuilder graph, CheckpointWeights weights, string prefix, Value x, Value residual, string name)
    {
        Value gate = graph.MatMul(x, Projection(graph, weights, $"{prefix}.gate_proj.weight"), $"{name}.gate");
        Value up = graph.MatMul(x, Projection(graph, weights, $"{prefix}.up_proj.weight"), $"{name}.up");
        Value inner = graph.SiluMul(gate, up, $"{name}.inner");
        return graph.MatMul(inner, Projection(graph, weights, $"{prefix}.down_proj.weight"), $"{name}.output", residual: residual);
    }

    private Value EmitMixture(GraphBuilder graph, CheckpointWeights weights, string prefix, Value x, string name)
    {
        string router = $"{prefix}.router.classifier.weight";
        string bias = $"{prefix}.router.e_score_correction_bias";
        ExpertMixtureInputs inputs = new(
            x,
            graph.Weight(router, weights.Float32(router)),
            graph.Weight(bias, weights.Float32(bias)),
            Experts("gate_proj"),
            Experts("up_proj"),
            Experts("down_proj"));
        ExpertMixtureAttributes attributes = new(
            config.MoeTopK,
            config.NumRoutedExperts,
            config.NumZeroExperts,
            config.RoutedScalingFactor,
            ZeroExpertType: config.ZeroExpertType == ZeroExpertType.Drop ? "drop" : "identity");
        return graph.ExpertMixture(inputs, attributes, name);

        Value Experts(string projection)
        {
            string key = $"{prefix}.experts.{projection}.weight";
            return graph.Weight(key, weights.Stack(key, Enumerable.Range(0, config.NumRoutedExperts).Select(e => $"{prefix}.experts.{e}.{projection}.weight")));
        }
    }
}
