using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>What all parts of a model share during its passes.</summary>
internal sealed class PassSettings
{
    /// <summary>Whether layers keep only their inputs for the backward pass and compute the rest again there.</summary>
    public bool GradientCheckpointing { get; set; }

    /// <summary>The adapters' step, or null without adapters.</summary>
    public AdapterClock? Clock { get; set; }

    /// <summary>Where the weights are.</summary>
    public Device Device { get; set; } = CPU;

    /// <summary>Runs a layer, and again in the backward pass where that is wanted.</summary>
    /// <param name="layer">The layer: [B·S, hidden] in and out, and its routing decision.</param>
    /// <param name="input">[B·S, hidden].</param>
    /// <param name="probe">Sees the sub-layers' outputs, the first time alone.</param>
    /// <returns>The layer's results, owned by the caller's dispose scope.</returns>
    public (Tensor Output, RoutingDecision? Decision) Run(LayerPass layer, Tensor input, ActivationProbe? probe) =>
        GradientCheckpointing && is_grad_enabled() ? RecomputedLayer.Run(layer, input, probe, Clock) : layer(input, probe);
}
