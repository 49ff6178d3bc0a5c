using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Gradient checkpointing (1604.06174): a layer's forward pass keeps its input alone, and the backward pass computes the layer again to get the intermediate results that
/// gradients need. The second pass sees the same β and the same dropout as the first, so gradients are the same.
/// </summary>
internal sealed class RecomputedLayer : autograd.MultiTensorFunction<RecomputedLayer>
{
    public override string Name => nameof(RecomputedLayer);

    /// <summary>Runs a layer so that its backward pass computes it again.</summary>
    public static (Tensor Output, RoutingDecision? Decision) Run(LayerPass layer, Tensor input, ActivationProbe? probe, AdapterClock? clock)
    {
        using var scope = NewDisposeScope();
        Recording recording = new(layer, probe, clock, clock?.Pass ?? 0);

        // The input of the first layer needs no gradient while everything below is frozen; this keeps the layer in the graph for the sake of what it owns.
        var anchor = zeros(1, device: input.device).requires_grad_();
        List<Tensor> results = apply(input, anchor, recording);
        var output = results[0].MoveToOuterDisposeScope();
        return recording.Decision is not { } decision
            ? (output, null)
            : (output, decision with { Probabilities = results[1].MoveToOuterDisposeScope(), Weights = results[2].MoveToOuterDisposeScope() });
    }

    /// <param name="ctx">Keeps the input and the layer.</param>
    /// <param name="vars">The input [B·S, hidden], a tensor that wants a gradient, and what is run.</param>
    public override List<Tensor> forward(autograd.AutogradContext ctx, params object[] vars)
    {
        var input = (Tensor)vars[0];
        var recording = (Recording)vars[2];
        ctx.save_for_backward([input]);
        ctx.save_data("recording", recording);

        // Zeros for missing gradients would be made from tensors that a dispose scope may have freed by then.
        ctx.set_materialize_grads(false);
        var (output, decision) = recording.Layer(input, recording.Probe);
        recording.Probe = null;
        recording.Decision = decision;
        return decision is null ? [output] : [output, decision.Probabilities, decision.Weights];
    }

    public override List<Tensor> backward(autograd.AutogradContext ctx, List<Tensor> grad_outputs)
    {
        var recording = (Recording)ctx.get_data("recording")!;
        try
        {
            using var scope = NewDisposeScope();
            using var recorded = enable_grad();
            using var pass = recording.Clock?.Again(recording.Pass);
            List<Tensor> saved = ctx.get_saved_variables();
            var input = saved[0].detach().requires_grad_();
            var (output, decision) = recording.Layer(input, null);
            Tensor[] results = decision is null ? [output] : [output, decision.Probabilities, decision.Weights];
            List<Tensor> roots = [], slopes = [];
            for (int i = 0; i < results.Length; i++)
            {
                if (grad_outputs[i] is { IsInvalid: false } slope && results[i].requires_grad)
                {
                    roots.Add(results[i]);
                    slopes.Add(slope);
                }
            }

            if (roots.Count > 0)
            {
                autograd.backward(roots, slopes);
            }

            return GradientHandover.Return(input.grad, null, null);
        }
        catch (Exception e)
        {
            BackwardFault.Keep(e);
            return GradientHandover.Return(null, null, null);
        }
        finally
        {
            // TorchSharp leaves them to the caller's dispose scope, which ends with the step.
            grad_outputs.ForEach(gradient => gradient?.Dispose());
        }
    }

    private sealed class Recording(LayerPass layer, ActivationProbe? probe, AdapterClock? clock, long pass)
    {
        public LayerPass Layer { get; } = layer;

        public ActivationProbe? Probe { get; set; } = probe;

        public AdapterClock? Clock { get; } = clock;

        public long Pass { get; } = pass;

        public RoutingDecision? Decision { get; set; }
    }
}
