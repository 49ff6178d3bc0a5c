using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The forward pass of one layer.</summary>
/// <param name="input">[B·S, hidden].</param>
/// <param name="probe">Sees the sub-layers' outputs, or null.</param>
/// <returns>[B·S, hidden] and, where the layer has a mixture, its decision; owned by the caller's dispose scope.</returns>
internal delegate (Tensor Output, RoutingDecision? Decision) LayerPass(Tensor input, ActivationProbe? probe);
