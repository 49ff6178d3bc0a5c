using LongCat.ML.Checkpoints;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// One logical layer with shortcut-connected mixture (ScMoE, 2509.01322): two attentions, two dense blocks, and one mixture that reads the first
/// block's input and is added at the end.
/// </summary>
/// <remarks>State: <c>input_layernorm.{0,1}</c>, <c>post_attention_layernorm.{0,1}</c>, <c>self_attn.{0,1}</c>, <c>mlps.{0,1}</c>, <c>mlp</c> (router and experts).</remarks>
public sealed class DecoderLayer : nn.Module
{
    private readonly ModuleList<RmsNorm> input_layernorm;
    private readonly ModuleList<RmsNorm> post_attention_layernorm;
    private readonly ModuleList<LatentAttention> self_attn;
    private readonly ModuleList<DenseMlp> mlps;
    private readonly ExpertMixture mlp;
    private readonly int _index;

    /// <summary>Creates the layer.</summary>
    /// <param name="config">The model's settings.</param>
    /// <param name="index">The logical layer, from 0.</param>
    public DecoderLayer(LongcatFlashConfig config, int index)
        : base(nameof(DecoderLayer))
    {
        _index = index;
        input_layernorm = new ModuleList<RmsNorm>(Norm(), Norm());
        post_attention_layernorm = new ModuleList<RmsNorm>(Norm(), Norm());
        self_attn = new ModuleList<LatentAttention>(new LatentAttention(config, 2 * index), new LatentAttention(config, (2 * index) + 1));
        mlps = new ModuleList<DenseMlp>(new DenseMlp(config.HiddenSize, config.FfnHiddenSize), new DenseMlp(config.HiddenSize, config.FfnHiddenSize));
        mlp = new ExpertMixture(config);
        RegisterComponents();

        RmsNorm Norm() => new(config.HiddenSize, config.RmsNormEps);
    }

    /// <summary>The mixture of the layer.</summary>
    public ExpertMixture Mixture => mlp;

    /// <summary>What the queries of both attentions see.</summary>
    internal IEnumerable<AttentionSight> Sights => self_attn.Select(attention => attention.Sight);

    /// <summary>Applies the layer.</summary>
    /// <param name="input">[B·S, hidden].</param>
    /// <param name="batch">The geometry of the rows.</param>
    /// <param name="probe">Sees the sub-layers' outputs.</param>
    /// <returns>The output and the routing decision, owned by the caller's dispose scope.</returns>
    internal (Tensor Output, RoutingDecision Decision) Forward(Tensor input, SequenceBatch batch, ActivationProbe? probe)
    {
        using var scope = NewDisposeScope();
        Tensor? chosen = null; // by the first attention's indexer, for both
        var attention = self_attn[0].Forward(input_layernorm[0].forward(input), batch, ref chosen);
        probe?.Invoke($"attn.{_index}.0.output", attention);
        var afterAttention = input.add(attention);
        var normed = post_attention_layernorm[0].forward(afterAttention);
        var (mixture, decision) = mlp.Forward(normed);
        probe?.Invoke($"moe.{_index}.output", mixture);
        probe?.Invoke($"router.{_index}.probs", decision.Probabilities);
        probe?.Invoke($"router.{_index}.weights", decision.Weights);
        probe?.Invoke($"router.{_index}.indices", tensor(decision.Indices, decision.Weights.shape));
        var dense = mlps[0].forward(normed);
        probe?.Invoke($"mlp.{_index}.0.output", dense);
        var middle = afterAttention.add(dense);

        attention = self_attn[1].Forward(input_layernorm[1].forward(middle), batch, ref chosen);
        probe?.Invoke($"attn.{_index}.1.output", attention);
        afterAttention = middle.add(attention);
        dense = mlps[1].forward(post_attention_layernorm[1].forward(afterAttention));
        probe?.Invoke($"mlp.{_index}.1.output", dense);
        var output = afterAttention.add(dense).add(mixture);
        decision.Probabilities.MoveToOuterDisposeScope();
        decision.Weights.MoveToOuterDisposeScope();
        return (output.MoveToOuterDisposeScope(), decision);
    }
}
