using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.Training.Routing;
using TorchSharp;

namespace LongCat.ML.Training.Tests.Pretraining;

public class RoutingTests
{
    [Fact]
    public void The_balance_loss_is_one_at_the_target_and_grows_with_a_loaded_group()
    {
        using var scope = torch.NewDisposeScope();
        var even = Decision([0, 4, 1, 5, 2, 4, 3, 5]);
        Assert.Equal(1, RoutingLosses.LoadBalance(even, 4, 2, groups: 2, expectedRealExperts: 1).item<float>(), 5);

        // Experts 0 and 1 take everything and their probability is high: f = 2 for their group.
        var skewed = Decision([0, 4, 1, 5, 0, 4, 1, 5], [0.45f, 0.45f, 0.02f, 0.02f, 0.03f, 0.03f]);
        Assert.Equal((2 * 0.9) + 0.06, RoutingLosses.LoadBalance(skewed, 4, 2, groups: 2, expectedRealExperts: 1).item<float>(), 4);
    }

    [Fact]
    public void The_controller_follows_the_printed_law()
    {
        using var model = TinyConfig.Create();
        using var scope = torch.NewDisposeScope();
        var decision = Decision([0, 4, 0, 5, 0, 1, 2, 4]);
        new ExpertBiasController(1.3).Step(model, [decision], mu: 0.5);
        float[] bias = MemoryMarshal.Cast<byte, float>(model.Model.Layer(0).Mixture.Router.SelectionBias.bytes).ToArray();
        double target = 1.3 / (2 * 4);
        Assert.Equal(0.5 * (target - (3 / 8.0)), bias[0], 5);
        Assert.Equal(0.5 * (target - (1 / 8.0)), bias[1], 5);
        Assert.Equal(0.5 * target, bias[3], 5);
        Assert.Equal(0, bias[4]);
        Assert.Equal(0, bias[5]);
    }

    [Fact]
    public void The_hidden_z_loss_is_the_squared_log_of_summed_magnitudes()
    {
        using var scope = torch.NewDisposeScope();
        var z = torch.tensor([1f, -2f, 0f, 3f], [1, 4]);
        double expected = Math.Pow(Math.Log(Math.Exp(1) + Math.Exp(2) + 1 + Math.Exp(3)), 2);
        Assert.Equal(expected, RoutingLosses.HiddenZ(z).item<float>(), 4);
    }

    private static RoutingDecision Decision(long[] indices, float[]? probabilities = null)
    {
        var counts = new long[6];
        foreach (long i in indices)
        {
            counts[i]++;
        }

        int tokens = indices.Length / 2;
        probabilities ??= [1 / 6f, 1 / 6f, 1 / 6f, 1 / 6f, 1 / 6f, 1 / 6f];
        var all = torch.tensor(Enumerable.Repeat(probabilities, tokens).SelectMany(p => p).ToArray(), [tokens, 6]);
        return new RoutingDecision(all, indices, torch.ones(tokens, 2), counts);
    }
}
