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
        int tokens = (int)input.shape[0];

        // A counting sort of the choices by expert; a choice is the flat index token · K + slot.
        int real = experts.Count;
        var start = new int[real + 1];
        for (int e = 0; e < real; e++)
        {
            start[e + 1] = start[e] + (int)decision.Counts[e];
        }

        var choice = new long[start[real]];
        var token = new long[start[real]];
        var identity = new float[decision.Indices.Length];
        int[] next = start[..real];
        bool anyIdentity = false;
        for (int i = 0; i < decision.Indices.Length; i++)
        {
            int expert = (int)decision.Indices[i];
            if (expert < real)
            {
                choice[next[expert]] = i;
                token[next[expert]++] = i / _topK;
            }
            else
            {
                identity[i] = 1;
                anyIdentity = true;
            }
        }

        Tensor output = zeros_like(input);
        if (choice.Length > 0)
        {
            var tokenIndex = tensor(token);
            var gathered = input.index_select(0, tokenIndex);
            var parts = new List<Tensor>(real);
            for (int e = 0; e < real; e++)
            {
                if (start[e + 1] > start[e])
                {
                    parts.Add(experts[e].forward(gathered.narrow(0, start[e], start[e + 1] - start[e])));
                }
            }

            var gates = decision.Weights.reshape(tokens * _topK).index_select(0, tensor(choice)).unsqueeze(1);
            output = output.index_add(0, tokenIndex, cat(parts, 0).mul(gates), 1);
        }

        if (_identity && anyIdentity)
        {
            var share = decision.Weights.mul(tensor(identity, [tokens, _topK])).sum(1, keepdim: true);
            output = output.add(input.mul(share));
        }

        decision.Probabilities.MoveToOuterDisposeScope();
        decision.Weights.MoveToOuterDisposeScope();
        return (output.MoveToOuterDisposeScope(), decision);
    }
}
