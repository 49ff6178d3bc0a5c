using TorchSharp;
using Xunit.Abstractions;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.StandIn;

/// <summary>AdamW against the published algorithm, written out in double precision.</summary>
public sealed class AdamWTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Twenty_steps_match_the_algorithm_in_double_precision(bool amsgrad)
    {
        const double Rate = 0.01, Beta1 = 0.9, Beta2 = 0.95, Epsilon = 1e-8, Decay = 0.1;
        random.manual_seed(3);
        var parameter = new TorchSharp.Modules.Parameter(randn(17, dtype: float64));
        using var optimizer = torch.optim.AdamW([parameter], lr: Rate, beta1: Beta1, beta2: Beta2, eps: Epsilon, weight_decay: Decay, amsgrad: amsgrad);
        double[] expected = parameter.data<double>().ToArray();
        double[] mean = new double[17], square = new double[17], largest = new double[17];

        for (int step = 1; step <= 20; step++)
        {
            optimizer.zero_grad();
            (parameter * parameter * parameter).sum().backward();
            for (int i = 0; i < expected.Length; i++)
            {
                double g = 3 * expected[i] * expected[i];
                expected[i] *= 1 - (Rate * Decay);
                mean[i] = (Beta1 * mean[i]) + ((1 - Beta1) * g);
                square[i] = (Beta2 * square[i]) + ((1 - Beta2) * g * g);
                largest[i] = Math.Max(largest[i], square[i]);
                double denominator = (Math.Sqrt(amsgrad ? largest[i] : square[i]) / Math.Sqrt(1 - Math.Pow(Beta2, step))) + Epsilon;
                expected[i] -= Rate / (1 - Math.Pow(Beta1, step)) * mean[i] / denominator;
            }

            optimizer.step();
        }

        double worst = parameter.data<double>().ToArray().Zip(expected, (a, b) => Math.Abs(a - b)).Max();
        output.WriteLine($"largest difference {worst:E2}");
        Assert.True(worst < 1e-12, $"{worst}"); // both in float64: only the order of roundings differs
    }

    [Fact]
    public void State_and_options_move_to_another_optimizer()
    {
        TorchSharp.Modules.Parameter Make() => new(arange(4, dtype: float32));
        TorchSharp.Modules.Parameter a = Make(), b = Make();
        using var first = torch.optim.AdamW([a], lr: 0.1);
        using var second = torch.optim.AdamW([b], lr: 0.5);
        a.square().sum().backward();
        first.step();
        foreach (torch.optim.ILearningRateController group in first.ParamGroups)
        {
            group.LearningRate = 0.25;
        }

        second.load_state_dict(first.state_dict());
        using (no_grad())
        {
            b.copy_(a);
        }

        Assert.Equal(0.25, second.ParamGroups.Single().LearningRate);
        var state = (TorchSharp.Modules.AdamW.State)second.state_dict().State[0];
        Assert.Equal(1, state.step);
        first.zero_grad();
        a.square().sum().backward();
        b.square().sum().backward();
        first.step();
        second.step();
        Assert.True(a.Equals(b));
    }
}
