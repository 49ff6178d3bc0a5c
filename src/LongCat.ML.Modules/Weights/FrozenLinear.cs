using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// x · Wᵀ with a frozen W that is made dense for the product and let go at once, forward and backward: autograd's own product would keep the dense copy of every matrix
/// from the forward to the backward pass. W has no gradient and no memory for one.
/// </summary>
internal sealed class FrozenLinear : autograd.SingleTensorFunction<FrozenLinear>
{
    public override string Name => nameof(FrozenLinear);

    /// <param name="ctx">Keeps the matrix.</param>
    /// <param name="vars">The input [.., in] and an <see cref="IDenseWeight"/> [out, in].</param>
    public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
    {
        using var scope = NewDisposeScope();
        var input = (Tensor)vars[0];
        var weight = (IDenseWeight)vars[1];
        ctx.save_data("weight", weight);
        ScalarType type = ProductType(input);
        return nn.functional.linear(input.to(type), weight.Dense(type)).to(input.dtype).MoveToOuterDisposeScope();
    }

    public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using var scope = NewDisposeScope();
            var weight = (IDenseWeight)ctx.get_data("weight")!;
            ScalarType type = ProductType(grad_output);
            var dense = weight.Dense(type);
            long[] shape = grad_output.shape;
            var rows = grad_output.to(type).reshape(-1, shape[^1]).mm(dense);
            shape[^1] = dense.shape[1];
            return GradientHandover.Return(rows.reshape(shape).to(grad_output.dtype), null);
        }
        catch (Exception e)
        {
            BackwardFault.Keep(e);
            return GradientHandover.Return(null, null);
        }
        finally
        {
            // TorchSharp leaves it to the caller's dispose scope, which ends with the step.
            grad_output.Dispose();
        }
    }

    /// <summary>A graphics processor multiplies bfloat16 several times as fast; a processor without such instructions only loses precision.</summary>
    private static ScalarType ProductType(Tensor tensor) => tensor.device_type == DeviceType.CUDA && tensor.dtype == ScalarType.Float32 ? ScalarType.BFloat16 : tensor.dtype;
}
