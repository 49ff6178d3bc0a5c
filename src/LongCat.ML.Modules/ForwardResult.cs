using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>What a forward pass yields.</summary>
/// <param name="Hidden">[B·S, hidden] after the final norm: what the output matrix and the draft head read.</param>
/// <param name="LastLayer">[B·S, hidden] before the final norm.</param>
/// <param name="Routing">One decision per layer that has a mixture, in the order of the layers.</param>
public sealed record ForwardResult(Tensor Hidden, Tensor LastLayer, IReadOnlyList<RoutingDecision> Routing);
