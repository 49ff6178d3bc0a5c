using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The mixture of experts with zero-computation experts.</summary>
internal sealed partial class LongcatFlashEmitter
{
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
            return graph.Weight(key, weights.ProjectionStack(key, Enumerable.Range(0, config.NumRoutedExperts).Select(e => $"{prefix}.experts.{e}.{projection}.weight")));
        }
    }
}
