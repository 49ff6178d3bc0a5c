namespace LongCat.ML.Onnx;

/// <summary>Inputs of longcat::ExpertMixture; gate and up [E, I, H], down [E, H, I].</summary>
internal sealed record ExpertMixtureInputs(Value X, Value Router, Value CorrectionBias, Value Gate, Value Up, Value Down);

/// <summary>Attributes of longcat::ExpertMixture.</summary>
internal sealed record ExpertMixtureAttributes(long TopK, long Experts, long ZeroExperts, double RoutedScalingFactor, bool Normalize = false, string ZeroExpertType = "identity");
