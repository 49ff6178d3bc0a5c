using LongCat.ML.Checkpoints;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>One layer of a plain decoder: attention, then a dense MLP or a mixture of experts, each behind a norm and added to the residual stream.</summary>
/// <remarks>State: <c>input_layernorm</c>, <c>self_attn</c>, <c>post_attention_layernorm</c>, and <c>mlp</c> or what the family calls its mixture.</remarks>
public sealed class DecoderBlock : nn.Module
{
    private readonly RmsNorm input_layernorm;
    private readonly GroupedQueryAttention self_attn;
    private readonly RmsNorm post_attention_layernorm;

    // Not two fields: those would be registered under their own names, and the family chooses the mixture's name.
    private readonly (DenseMlp? Dense, SparseMixture? Mixture) _feedForward;
    private readonly int _index;

    /// <summary>Creates the layer.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="index">The layer, from 0.</param>
    public DecoderBlock(DecoderConfig config, int index)
        : base(nameof(DecoderBlock))
    {
        _index = index;
        input_layernorm = new RmsNorm(config.HiddenSize, config.RmsNormEps);
        self_attn = new GroupedQueryAttention(config, index);
        post_attention_layernorm = new RmsNorm(config.HiddenSize, config.RmsNormEps);
        if (config.Mixture(index) is { } mixture)
        {
            _feedForward = (null, new SparseMixture(config.HiddenSize, mixture));
            register_module(mixture.BlockName, _feedForward.Mixture!);
        }
        else
        {
            _feedForward = (new DenseMlp(config.HiddenSize, config.IntermediateSize, config.MlpBias), null);
            register_module("mlp", _feedForward.Dense!);
        }

        RegisterComponents();
    }

    /// <summary>What the attention's queries see.</summary>
    internal AttentionSight Sight => self_attn.Sight;

    /// <summary>Applies the layer.</summary>
    /// <param name="input">[B·S, hidden].</param>
    /// <param name="batch">The geometry of the rows, prepared.</param>
    /// <param name="probe">Sees the sub-layers' outputs.</param>
    /// <returns>The output and, where the layer has a mixture, the routing decision; owned by the caller's dispose scope.</returns>
    internal (Tensor Output, RoutingDecision? Decision) Forward(Tensor input, SequenceBatch batch, ActivationProbe? probe)
    {
        using var scope = NewDisposeScope();
        var attention = self_attn.Forward(input_layernorm.forward(input), batch);
        probe?.Invoke($"attn.{_index}.output", attention);
        var afterAttention = input.add(attention);
        var normed = post_attention_layernorm.forward(afterAttention);
        if (_feedForward.Mixture is null)
        {
            var dense = _feedForward.Dense!.forward(normed);
            probe?.Invoke($"mlp.{_index}.output", dense);
            return (afterAttention.add(dense).MoveToOuterDisposeScope(), null);
        }

        var (mixture, decision) = _feedForward.Mixture.Forward(normed);
        probe?.Invoke($"moe.{_index}.output", mixture);
        probe?.Invoke($"router.{_index}.probs", decision.Probabilities);
        probe?.Invoke($"router.{_index}.weights", decision.Weights);
        probe?.Invoke($"router.{_index}.indices", tensor(decision.Indices, decision.Weights.shape));
        decision.Probabilities.MoveToOuterDisposeScope();
        decision.Weights.MoveToOuterDisposeScope();
        return (afterAttention.add(mixture).MoveToOuterDisposeScope(), decision);
    }
}
