using System.Runtime.InteropServices;
using LongCat.ML.TestShared;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.StandIn;

/// <summary>Functions whose backward pass is written in C#.</summary>
public sealed class CustomFunctionTests
{
    // y = x · exp(x), with an argument that is no tensor; the saved tensors are an input and the output.
    internal sealed class Swell : autograd.SingleTensorFunction<Swell>
    {
        public override string Name => nameof(Swell);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            var x = (Tensor)vars[0];
            Tensor y = x * x.exp() * (double)vars[1];
            ctx.save_data("factor", vars[1]);
            ctx.save_for_backward([x, y]);
            return y;
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            List<Tensor> saved = ctx.get_saved_variables();
            Tensor slope = saved[1] + (saved[0].exp() * (double)ctx.get_data("factor")!);
            return [grad_output * slope, null!];
        }
    }

    private sealed class Broken : autograd.SingleTensorFunction<Broken>
    {
        public override string Name => nameof(Broken);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars) => ((Tensor)vars[0]).clone();

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output) => throw new InvalidOperationException("on purpose");
    }

    [Fact]
    public void Gradient_is_the_one_of_the_written_backward_pass()
    {
        using Tensor x = linspace(-1, 1, 5, dtype: float64).requires_grad_();
        using Tensor y = Swell.apply(x, 3.0);
        y.sum().backward();
        using Tensor expected = 3 * (1 + x.detach()) * x.detach().exp();
        Assert.True(x.grad!.allclose(expected, rtol: 1e-12));
    }

    [Fact]
    public void Without_gradients_no_node_is_made()
    {
        using Tensor x = ones(3, dtype: float64);
        using Tensor y = Swell.apply(x, 1.0);
        Assert.False(y.requires_grad);
    }

    [StandInFact("the real TorchSharp lets an exception of a backward pass end the process, so none may throw")]
    public void An_exception_in_backward_arrives_at_the_caller()
    {
        using Tensor x = ones(3).requires_grad_();
        using Tensor y = Broken.apply(x).sum();
        var error = Assert.Throws<ExternalException>(() => y.backward());
        Assert.Contains("on purpose", error.Message, StringComparison.Ordinal);
    }
}
