using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.Adapters;

/// <summary>
/// One adapted projection in double precision against the formulas written out in C#, forward and backward. Central differences of step 1e-5 in double are good to about
/// 1e-10 of curvature and 1e-11 of rounding; 1e-7 of the largest slope is allowed.
/// </summary>
public class LinearAdapterTests
{
    private const int Rows = 4;
    private const int In = 6;
    private const int Out = 5;
    private const int Rank = 3;
    private const double Scale = 1.75;

    public static TheoryData<AfaActivation?, double, bool> Forms
    {
        get
        {
            TheoryData<AfaActivation?, double, bool> forms = new() { { null, 0, false }, { null, 0, true } };
            foreach (AfaActivation activation in Enum.GetValues<AfaActivation>())
            {
                foreach (double beta in (double[])[0, 0.3, 1])
                {
                    forms.Add(activation, beta, false);
                    forms.Add(activation, beta, true);
                }
            }

            return forms;
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Results_and_gradients_are_those_of_the_formulas(AfaActivation? activation, double beta, bool dora)
    {
        using var scope = NewDisposeScope();
        Numbers n = Numbers.Random(dora, seed: 11 + (int)(beta * 10));
        var (projection, adapter) = n.ToModules(activation, beta);
        using var owned = projection;
        using var ownedAdapter = adapter;
        var input = tensor(n.X, [Rows, In], dtype: ScalarType.Float64).requires_grad_();
        var output = projection.forward(input);
        double[] norms = n.Norms();
        double[] expected = n.Forward(activation, beta, norms);
        double[] actual = output.data<double>().ToArray();
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.InRange(actual[i] - expected[i], -1e-12, 1e-12);
        }

        output.mul(tensor(n.Slope, [Rows, Out], dtype: ScalarType.Float64)).sum().backward();

        // The norms stay those of the start: no gradient passes them.
        Check("A", n.A, adapter.A);
        Check("B", n.B, adapter.B);
        Check("x", n.X, input);
        if (dora)
        {
            Check("m", n.M!, adapter.Magnitude!);
        }

        void Check(string what, double[] values, Tensor with)
        {
            double[] gradient = with.grad!.data<double>().ToArray();
            double largest = gradient.Max(Math.Abs);
            Assert.True(largest > 1e-3, $"{what} has no gradient");
            for (int i = 0; i < values.Length; i++)
            {
                const double Step = 1e-5;
                double before = values[i];
                values[i] = before + Step;
                double up = Loss();
                values[i] = before - Step;
                double down = Loss();
                values[i] = before;
                Assert.True(Math.Abs(gradient[i] - ((up - down) / (2 * Step))) <= 1e-7 * largest, $"{what}[{i}]: gradient {gradient[i]:E6}, differences {(up - down) / (2 * Step):E6}");
            }
        }

        double Loss() => n.Forward(activation, beta, norms).Zip(n.Slope, (y, slope) => y * slope).Sum();
    }

    [Fact]
    public void The_relu_form_is_the_blend()
    {
        using var scope = NewDisposeScope();
        var z = linspace(-3, 3, 101, dtype: ScalarType.Float64);
        foreach (double beta in (double[])[0, 1e-9, 0.25, 0.5, 1])
        {
            AdapterClock clock = new(0) { Activation = AfaActivation.Relu, Beta = beta };
            Assert.True(clock.Activate(z).allclose(z.relu().mul(beta).add(z.mul(1 - beta)), rtol: 1e-15, atol: 1e-16), $"beta {beta}");
        }
    }

    [Fact]
    public void The_norm_of_dora_has_no_gradient()
    {
        using var scope = NewDisposeScope();
        Numbers n = Numbers.Random(dora: true, seed: 3);
        var (projection, adapter) = n.ToModules(null, 0);
        using var owned = projection;
        using var ownedAdapter = adapter;
        projection.forward(tensor(n.X, [Rows, In], dtype: ScalarType.Float64)).mul(tensor(n.Slope, [Rows, Out], dtype: ScalarType.Float64)).sum().backward();
        double[] gradient = adapter.B.grad!.data<double>().ToArray();
        const double Step = 1e-5;
        int differing = 0;
        for (int i = 0; i < n.B.Length; i++)
        {
            double before = n.B[i];
            n.B[i] = before + Step;
            double up = n.Forward(null, 0, n.Norms()).Zip(n.Slope, (y, slope) => y * slope).Sum();
            n.B[i] = before - Step;
            double down = n.Forward(null, 0, n.Norms()).Zip(n.Slope, (y, slope) => y * slope).Sum();
            n.B[i] = before;
            differing += Math.Abs(gradient[i] - ((up - down) / (2 * Step))) > 1e-3 ? 1 : 0;
        }

        Assert.True(differing > n.B.Length / 2, "the gradient is that of norms that move");
    }

    private sealed record Numbers(double[] X, double[] W, double[] Bias, double[] A, double[] B, double[]? M, double[] Slope)
    {
        public static Numbers Random(bool dora, int seed)
        {
            Random random = new(seed);
            return new(Draw(Rows * In), Draw(Out * In), Draw(Out), Draw(Rank * In), Draw(Out * Rank), dora ? [.. Draw(Out).Select(m => Math.Abs(m) + 0.5)] : null, Draw(Rows * Out));

            double[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextDouble()) - 1)];
        }

        /// <summary>Row norms of W + s·B·A.</summary>
        public double[] Norms() => [.. Enumerable.Range(0, Out).Select(o => Math.Sqrt(Enumerable.Range(0, In).Sum(k =>
            Math.Pow(W[(o * In) + k] + (Scale * Enumerable.Range(0, Rank).Sum(r => B[(o * Rank) + r] * A[(r * In) + k])), 2))))];

        public double[] Forward(AfaActivation? activation, double beta, double[] norms)
        {
            double[] y = new double[Rows * Out];
            for (int t = 0; t < Rows; t++)
            {
                double[] z = [.. Enumerable.Range(0, Rank).Select(r => Phi(Enumerable.Range(0, In).Sum(k => A[(r * In) + k] * X[(t * In) + k])))];
                for (int o = 0; o < Out; o++)
                {
                    double sum = Enumerable.Range(0, In).Sum(k => W[(o * In) + k] * X[(t * In) + k]) + (Scale * Enumerable.Range(0, Rank).Sum(r => B[(o * Rank) + r] * z[r]));
                    y[(t * Out) + o] = (M is null ? sum : M[o] / norms[o] * sum) + Bias[o];
                }
            }

            return y;

            double Phi(double z) => (beta * activation switch
            {
                AfaActivation.Relu => Math.Max(0, z),
                AfaActivation.Silu => z / (1 + Math.Exp(-z)),
                AfaActivation.Gelu => z * 0.5 * (1 + Erf(z / Math.Sqrt(2))),
                _ => z,
            }) + ((1 - beta) * z);
        }

        public (Projection Projection, LinearAdapter Adapter) ToModules(AfaActivation? activation, double beta)
        {
            Projection projection = new Projection(In, Out, hasBias: true).to(ScalarType.Float64);
            using (no_grad())
            {
                projection.Weight!.copy_(tensor(W, [Out, In], dtype: ScalarType.Float64));
                projection.Bias!.copy_(tensor(Bias, dtype: ScalarType.Float64));
            }

            projection.Weight!.requires_grad_(false);
            projection.Bias!.requires_grad_(false);
            AdapterClock clock = new(0) { Activation = activation, Beta = beta };
            Tensor? squares = M is null ? null : projection.Weight.detach().square().sum(1).DetachFromDisposeScope();
            LinearAdapter adapter = new(clock, "projection", Make(A, Rank, In), Make(B, Out, Rank), Scale, 0, squares) { Magnitude = M is null ? null : Make(M, Out) };
            projection.Adapter = adapter;
            return (projection, adapter);

            static Parameter Make(double[] values, params long[] shape)
            {
                Parameter parameter = new(tensor(values, shape, dtype: ScalarType.Float64));
                parameter.DetachFromDisposeScope();
                return parameter;
            }
        }

        /// <summary>The error function by its series, exact to the last digits for |x| below 3.</summary>
        private static double Erf(double x)
        {
            double term = x, sum = x;
            for (int n = 1; n < 80; n++)
            {
                term *= -x * x / n;
                sum += term / ((2 * n) + 1);
            }

            return 2 / Math.Sqrt(Math.PI) * sum;
        }
    }
}
