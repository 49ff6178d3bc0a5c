using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Hands the gradients of a custom autograd function to libtorch. TorchSharp reads their handles after the function has returned and never frees the tensors, so they
/// are kept until the next function of the thread returns: without this every such gradient would live until the caller's dispose scope ends.
/// </summary>
internal static class GradientHandover
{
    [ThreadStatic]
    private static Tensor?[]? s_last;

    public static List<Tensor> Return(params Tensor?[] gradients)
    {
        foreach (Tensor? gradient in gradients)
        {
            gradient?.DetachFromDisposeScope();
        }

        if (s_last is not null)
        {
            foreach (Tensor? gradient in s_last)
            {
                if (gradient is { IsInvalid: false })
                {
                    gradient.Dispose();
                }
            }
        }

        s_last = gradients;
        return [.. gradients.Select(gradient => gradient!)];
    }
}
