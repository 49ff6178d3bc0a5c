using System.Runtime.InteropServices;
using LongCat.ML.Training.Optimization;
using TorchSharp;
using TorchSharp.Modules;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.Pretraining;

public class FusedAdamWTests(ITestOutputHelper output)
{
    /// <summary>Both compute the same formula in float32; ten updates of size 1e-2 differ by rounding, a few 1e-7 each.</summary>
    [Fact]
    public void Equals_torch_AdamW()
    {
        torch.manual_seed(4);
        using var scope = torch.NewDisposeScope();
        var start = torch.randn(37, 29);
        var mine = new Parameter(start.clone());
        var theirs = new Parameter(start.clone());
        using var fused = new FusedAdamW(
            [new ParameterGroup([("w", mine)], 1, 0.1)], new AdamWOptions { Beta2 = 0.99, Epsilon = 1e-8, MaxGradientNorm = 0 }, threads: 2);
        var reference = torch.optim.AdamW([theirs], lr: 1e-2, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1);
        for (int step = 0; step < 10; step++)
        {
            var direction = torch.randn(37, 29);
            mine.mul(direction).sum().backward();
            reference.zero_grad();
            theirs.mul(direction).sum().backward();
            fused.Step(1e-2);
            reference.step();
        }

        double largest = mine.sub(theirs).abs().max().item<float>();
        output.WriteLine($"largest difference {largest:E2} of 2E-006 allowed");
        Assert.True(largest < 2e-6, $"largest difference {largest}");
    }

    [Fact]
    public void Clips_by_the_joint_norm_and_clears_gradients()
    {
        using var scope = torch.NewDisposeScope();
        var a = new Parameter(torch.zeros(3));
        var b = new Parameter(torch.zeros(4));
        using var optimizer = new FusedAdamW([new ParameterGroup([("a", a), ("b", b)], 1, 0)], new AdamWOptions { MaxGradientNorm = 1 }, 1);
        a.mul(3).sum().add(b.mul(2).sum()).backward();
        Assert.Equal(Math.Sqrt((3 * 9) + (4 * 4)), optimizer.Step(0.1), 5);
        Assert.All(MemoryMarshal.Cast<byte, float>(a.grad!.bytes).ToArray(), g => Assert.Equal(0, g));

        // The first update of Adam is the rate, whatever the gradient's size.
        Assert.All(MemoryMarshal.Cast<byte, float>(b.bytes).ToArray(), v => Assert.Equal(-0.1f, v, 5));
    }

    [Fact]
    public void A_gradient_that_is_not_finite_changes_nothing()
    {
        using var scope = torch.NewDisposeScope();
        var a = new Parameter(torch.ones(3));
        using var optimizer = new FusedAdamW([new ParameterGroup([("a", a)], 1, 0.1)], new AdamWOptions(), 1);
        a.mul(float.PositiveInfinity).sum().backward();
        Assert.False(double.IsFinite(optimizer.Step(0.1)));
        Assert.All(MemoryMarshal.Cast<byte, float>(a.bytes).ToArray(), v => Assert.Equal(1, v));
        Assert.Equal(0, optimizer.Steps);
        Assert.All(MemoryMarshal.Cast<byte, float>(a.grad!.bytes).ToArray(), g => Assert.Equal(0, g));
    }

    [Fact]
    public void The_schedule_warms_up_and_ends_at_its_floor()
    {
        var schedule = new WarmupCosineSchedule(2e-3, 10, 0.1);
        Assert.Equal(2e-4, schedule.Rate(0, 0), 9);
        Assert.Equal(2e-3, schedule.Rate(10, 0), 9);
        Assert.Equal(1.1e-3, schedule.Rate(100, 0.5), 9);
        Assert.Equal(2e-4, schedule.Rate(1000, 1), 9);
    }
}
