using System.Runtime.InteropServices;
using LongCat.ML.Modules;

namespace LongCat.ML.Training.Routing;

/// <summary>
/// Moves the routers' selection biases towards an even load (2509.01322): for a real expert i
/// <c>Δb_i = μ · (K_e / (K·N) − T_i / (K·T_all))</c>, for zero experts 0, where K_e is the expected number of real experts per token.
/// </summary>
/// <remarks>No gradient is involved. Deterministic; its only state is the biases themselves, which are in the checkpoint. Not thread-safe.</remarks>
/// <param name="expectedRealExperts">K_e: real experts per token, above 0 and at most K.</param>
public sealed class ExpertBiasController(double expectedRealExperts)
{
    /// <summary>Moves the biases of one model by the load of one batch.</summary>
    /// <param name="model">The model.</param>
    /// <param name="routing">The decisions of the batch, one per logical layer.</param>
    /// <param name="mu">The step size μ, 0 or more.</param>
    public void Step(LongcatFlashForCausalLM model, IReadOnlyList<RoutingDecision> routing, double mu)
    {
        int real = model.Config.NumRoutedExperts, topK = model.Config.MoeTopK;
        for (int layer = 0; layer < routing.Count; layer++)
        {
            double tokens = routing[layer].Indices.Length / topK;
            var bias = MemoryMarshal.Cast<byte, float>(model.Model.Layer(layer).Mixture.Router.SelectionBias.bytes);
            for (int e = 0; e < real; e++)
            {
                double target = expectedRealExperts / (topK * real);
                bias[e] += (float)(mu * (target - (routing[layer].Counts[e] / (topK * tokens))));
            }
        }
    }
}
