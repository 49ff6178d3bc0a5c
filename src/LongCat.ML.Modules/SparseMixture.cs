using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The mixture of experts of Mixtral (2401.04088) and Qwen3-MoE (2505.09388): a softmax over all experts in float32, the K largest, their weights divided by their sum
/// where the config says so, and <c>Σ w_e · Expert_e(x)</c>.
/// </summary>
/// <remarks>State: <c>gate.weight</c> [E, hidden] and <c>experts.{e}.*</c> under the family's names.</remarks>
public sealed class SparseMixture : nn.Module
{
    private readonly Projection gate;
    private readonly ModuleList<DenseMlp> experts;
    private readonly int _topK;
    private readonly bool _normalize;

    /// <summary>Creates the mixture.</summary>
    /// <param name="hidden">Width of input and output.</param>
    /// <param name="config">The mixture's settings.</param>
    public SparseMixture(long hidden, DecoderMixtureConfig config)
        : base(nameof(SparseMixture))
    {
        gate = new Projection(hidden, config.NumExperts, hasBias: false, ProjectionPrecision.Full);
        var blocks = new DenseMlp[config.NumExperts];
        for (int e = 0; e < blocks.Length; e++)
        {
            blocks[e] = new DenseMlp(hidden, config.ExpertSize, bias: false, config.GateProjection, config.UpProjection, config.DownProjection);
        }

        experts = new ModuleList<DenseMlp>(blocks);
        _topK = config.TopK;
        _normalize = config.NormalizeTopK;
        RegisterComponents();
    }

    /// <summary>Applies the mixture.</summary>
    /// <param name="input">[T, hidden], already normed.</param>
    /// <returns>The output [T, hidden] and the decision, both owned by the caller's dispose scope.</returns>
    internal (Tensor Output, RoutingDecision Decision) Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var probabilities = gate.forward(input).softmax(-1);
        var (weights, chosen) = probabilities.topk(_topK, 1, true, true);
        if (_normalize)
        {
            weights = weights.div(weights.sum(1, keepdim: true));
        }

        long[] indices = MemoryMarshal.Cast<byte, long>(chosen.cpu().contiguous().bytes).ToArray();
        var counts = new long[experts.Count];
        foreach (long index in indices)
        {
            counts[index]++;
        }

        RoutingDecision decision = new(probabilities.MoveToOuterDisposeScope(), indices, weights.MoveToOuterDisposeScope(), counts);
        var output = ExpertDispatch.Run(input, decision, _topK, experts.Count, (expert, rows) => experts[expert].forward(rows));
        return (output.MoveToOuterDisposeScope(), decision);
    }
}
