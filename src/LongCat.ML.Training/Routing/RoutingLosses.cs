using LongCat.ML.Modules;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Routing;

/// <summary>The auxiliary losses of LongCat-Flash (2509.01322).</summary>
public static class RoutingLosses
{
    /// <summary>
    /// Load balance over D groups of real experts and one group of all zero experts: <c>Σ_j f_j · P_j</c>, where P_j is the mean probability of group j (with gradient) and
    /// f_j its load relative to the target (without): 1 for every group when each token chooses K_e real experts, evenly spread.
    /// </summary>
    /// <param name="decision">The decision of one layer.</param>
    /// <param name="realExperts">N; a multiple of <paramref name="groups"/>.</param>
    /// <param name="topK">K.</param>
    /// <param name="groups">D, 1 or more.</param>
    /// <param name="expectedRealExperts">K_e, between 0 and K.</param>
    /// <returns>A scalar, owned by the caller's dispose scope; not yet multiplied by α.</returns>
    /// <exception cref="ArgumentException">N is no multiple of D.</exception>
    public static Tensor LoadBalance(RoutingDecision decision, int realExperts, int topK, int groups, double expectedRealExperts)
    {
        if (groups < 1 || realExperts % groups != 0)
        {
            throw new ArgumentException($"load balance: {realExperts} experts do not divide into {groups} groups", nameof(groups));
        }

        using var scope = NewDisposeScope();
        double tokens = decision.Indices.Length / topK;
        var load = new float[decision.Counts.Length];
        int size = realExperts / groups;
        for (int j = 0; j < groups; j++)
        {
            long count = 0;
            for (int e = j * size; e < (j + 1) * size; e++)
            {
                count += decision.Counts[e];
            }

            Array.Fill(load, (float)(groups * count / (expectedRealExperts * tokens)), j * size, size);
        }

        if (load.Length > realExperts && topK > expectedRealExperts)
        {
            long count = 0;
            for (int e = realExperts; e < load.Length; e++)
            {
                count += decision.Counts[e];
            }

            Array.Fill(load, (float)(count / ((topK - expectedRealExperts) * tokens)), realExperts, load.Length - realExperts);
        }

        return decision.Probabilities.mean([0]).mul(tensor(load)).sum().MoveToOuterDisposeScope();
    }

    /// <summary>The hidden z-loss: <c>mean_t (log Σ_i exp|z_t,i|)²</c> over the last layer's output before the final norm.</summary>
    /// <param name="lastLayer">[T, hidden].</param>
    /// <returns>A scalar, owned by the caller's dispose scope; not yet multiplied by λ.</returns>
    public static Tensor HiddenZ(Tensor lastLayer)
    {
        using var scope = NewDisposeScope();
        return lastLayer.abs().logsumexp(1).square().mean().MoveToOuterDisposeScope();
    }
}
