using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// The shortcut mixture (LongCat-Flash, 2509.01322): <c>Σ w_e · Expert_e(x)</c> over the chosen real experts plus, for zero experts of type identity,
/// <c>(Σ w_e) · x</c>. Tokens are grouped by expert, so a token costs only the experts it chose.
/// </summary>
/// <remarks>State: <c>router.*</c> and <c>experts.{e}.*</c>; zero experts have no tensors. Contributions are added in ascending expert order in float32.</remarks>
public sealed class ExpertMixture : nn.Module
{
    private readonly Router router;
    private readonly ModuleList<DenseMlp> experts;
    private readonly int _topK;
    private readonly bool _identity;

    /// <summary>Creates the mixture.</summary>
    /// <param name="config">The model's settings.</param>
    public ExpertMixture(LongcatFlashConfig config)
        : base(nameof(ExpertMixture))
    {
        router = new Router(config);
        var blocks = new DenseMlp[config.NumRoutedExperts];
        for (int e = 0; e < blocks.Length; e++)
        {
            blocks[e] = new DenseMlp(config.HiddenSize, config.ExpertFfnHiddenSize);
        }

        experts = new ModuleList<DenseMlp>(blocks);
        _topK = config.MoeTopK;
        _identity = config.ZeroExpertType == ZeroExpertType.Identity;
        RegisterComponents();
    }

    /// <summary>The router.</summary>
    public Router Router => router;

    /// <summary>Applies the mixture.</summary>
    /// <param name="input">[T, hidden], already normed.</param>
    /// <returns>The output [T, hidden] and the decision, both owned by the caller's dispose scope.</returns>
    internal (Tensor Output, RoutingDecision Decision) Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var decision = router.Forward(input);
        Tensor output = ExpertDispatch.Run(input, decision, _topK, experts.Count, (expert, rows) => experts[expert].forward(rows));
        if (_identity)
        {
            int tokens = (int)input.shape[0];
            float[] zeroExpert = [.. decision.Indices.Select(index => index >= experts.Count ? 1f : 0f)];
            if (zeroExpert.Contains(1f))
            {
                var share = decision.Weights.mul(tensor(zeroExpert, [tokens, _topK], device: input.device)).sum(1, keepdim: true);
                output = output.add(input.mul(share));
            }
        }

        decision.Probabilities.MoveToOuterDisposeScope();
        decision.Weights.MoveToOuterDisposeScope();
        return (output.MoveToOuterDisposeScope(), decision);
    }
}
