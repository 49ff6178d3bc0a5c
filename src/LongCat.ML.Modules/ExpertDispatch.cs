using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>Sends tokens to the experts they chose: tokens are grouped by expert, so a token costs only the experts it chose, and each expert runs once.</summary>
internal static class ExpertDispatch
{
    /// <summary>Computes <c>Σ w_e · Expert_e(x)</c> over the chosen experts that have weights.</summary>
    /// <param name="input">[T, hidden].</param>
    /// <param name="decision">The choices; indices from <paramref name="experts"/> on are left out.</param>
    /// <param name="topK">Choices per token.</param>
    /// <param name="experts">How many experts there are.</param>
    /// <param name="expert">Applies an expert to rows [n, hidden].</param>
    /// <returns>[T, hidden], owned by the caller's dispose scope. Contributions are added in ascending expert order in float32.</returns>
    public static Tensor Run(Tensor input, RoutingDecision decision, int topK, int experts, Func<int, Tensor, Tensor> expert)
    {
        using var scope = NewDisposeScope();

        // A counting sort of the choices by expert; a choice is the flat index token · K + slot.
        var start = new int[experts + 1];
        for (int e = 0; e < experts; e++)
        {
            start[e + 1] = start[e] + (int)decision.Counts[e];
        }

        if (start[experts] == 0)
        {
            return zeros_like(input).MoveToOuterDisposeScope();
        }

        var choice = new long[start[experts]];
        var token = new long[start[experts]];
        int[] next = start[..experts];
        for (int i = 0; i < decision.Indices.Length; i++)
        {
            int chosen = (int)decision.Indices[i];
            if (chosen < experts)
            {
                choice[next[chosen]] = i;
                token[next[chosen]++] = i / topK;
            }
        }

        var tokenIndex = tensor(token, device: input.device);
        var gathered = input.index_select(0, tokenIndex);
        var parts = new List<Tensor>(experts);
        for (int e = 0; e < experts; e++)
        {
            if (start[e + 1] > start[e])
            {
                parts.Add(expert(e, gathered.narrow(0, start[e], start[e + 1] - start[e])));
            }
        }

        var gates = decision.Weights.reshape(decision.Indices.Length).index_select(0, tensor(choice, device: input.device)).unsqueeze(1);
        return zeros_like(input).index_add(0, tokenIndex, cat(parts, 0).mul(gates), 1).MoveToOuterDisposeScope();
    }
}
