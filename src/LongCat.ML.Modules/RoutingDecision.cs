using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>What one router decided for every token of a batch.</summary>
/// <param name="Probabilities">[T, E+Z] softmax, float32, with gradient while training.</param>
/// <param name="Indices">T·K chosen experts, row-major; E and above are zero experts.</param>
/// <param name="Weights">[T, K] gates, the scaling factor included; with gradient while training.</param>
/// <param name="Counts">For each of the E+Z experts the number of tokens that chose it.</param>
public sealed record RoutingDecision(Tensor Probabilities, long[] Indices, Tensor Weights, long[] Counts);
