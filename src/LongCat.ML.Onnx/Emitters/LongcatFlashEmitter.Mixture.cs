using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>The mixture of experts with zero-computation experts.</summary>
internal sealed partial class LongcatFlashEmitter
{
    private Value EmitMixture(ModelWriter writer, string prefix, LinearInput x, string name)
    {
        MixtureTensors tensors = new(
            $"{prefix}.router.classifier.weight", $"{prefix}.router.e_score_correction_bias", Experts("gate_proj"), Experts("up_proj"), Experts("down_proj"));
        ExpertMixtureAttributes attributes = new(
            config.MoeTopK,
            config.NumRoutedExperts,
            config.NumZeroExperts,
            config.RoutedScalingFactor,
            ZeroExpertType: config.ZeroExpertType == ZeroExpertType.Drop ? "drop" : "identity");
        return writer.Mixture(x, tensors, attributes, name);

        ExpertStack Experts(string projection) =>
            new($"{prefix}.experts.{projection}.weight", [.. Enumerable.Range(0, config.NumRoutedExperts).Select(e => $"{prefix}.experts.{e}.{projection}.weight")]);
    }
}
