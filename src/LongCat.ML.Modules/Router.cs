using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The router (LongCat-Flash, 2509.01322): softmax over real and zero experts in float32, top-k by probability plus bias, gates from the unbiased probabilities,
/// multiplied by the scaling factor and not renormalized.
/// </summary>
/// <remarks>State: <c>classifier.weight</c> [E+Z, hidden] and the buffer <c>e_score_correction_bias</c> [E+Z], which a controller moves and no gradient reaches.</remarks>
public sealed class Router : nn.Module
{
    private readonly Projection classifier;
    private readonly Tensor e_score_correction_bias;
    private readonly int _topK;
    private readonly double _scale;

    /// <summary>Creates the router with bias zero.</summary>
    /// <param name="config">The model's settings.</param>
    public Router(LongcatFlashConfig config)
        : base(nameof(Router))
    {
        int experts = config.NumRoutedExperts + config.NumZeroExperts;
        classifier = new Projection(config.HiddenSize, experts, hasBias: false, ProjectionPrecision.Full);
        e_score_correction_bias = zeros(experts).DetachFromDisposeScope();
        _topK = config.MoeTopK;
        _scale = config.RoutedScalingFactor;
        RegisterComponents();
    }

    /// <summary>The selection bias [E+Z], float32.</summary>
    public Tensor SelectionBias => e_score_correction_bias;

    /// <summary>Chooses experts.</summary>
    /// <param name="input">[T, hidden].</param>
    /// <returns>The decision; its tensors belong to the caller's dispose scope.</returns>
    internal RoutingDecision Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var probabilities = classifier.forward(input).softmax(-1);
        var (_, chosen) = probabilities.detach().add(e_score_correction_bias).topk(_topK, 1, true, true);
        var weights = probabilities.gather(1, chosen).mul(_scale);
        long[] indices = MemoryMarshal.Cast<byte, long>(chosen.cpu().contiguous().bytes).ToArray();
        var counts = new long[e_score_correction_bias.shape[0]];
        foreach (long index in indices)
        {
            counts[index]++;
        }

        return new RoutingDecision(probabilities.MoveToOuterDisposeScope(), indices, weights.MoveToOuterDisposeScope(), counts);
    }
}
