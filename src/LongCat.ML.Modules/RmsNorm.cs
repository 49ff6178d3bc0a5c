using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Root-mean-square normalization over the last dimension: <c>x · rsqrt(mean(x²) + ε) · weight</c>, in float32.
/// </summary>
/// <remarks>State: <c>weight</c> [dim]. Not thread-safe while training; forward passes without gradient may share it.</remarks>
public sealed class RmsNorm : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight;
    private readonly double _epsilon;

    /// <summary>Creates the norm with weight one.</summary>
    /// <param name="dimension">Width of the last dimension, at least 1.</param>
    /// <param name="epsilon">Added to the mean square; positive.</param>
    /// <exception cref="ArgumentOutOfRangeException">A width below 1 or an epsilon that is not positive.</exception>
    public RmsNorm(long dimension, double epsilon)
        : base(nameof(RmsNorm))
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(dimension, 1);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epsilon);
        weight = nn.Parameter(ones(dimension));
        _epsilon = epsilon;
        RegisterComponents();
    }

    /// <summary>The gain [dim].</summary>
    public Parameter Weight => weight;

    /// <summary>Normalizes <paramref name="input"/> [.., dim]; the result has its shape.</summary>
    /// <param name="input">Float32 activations.</param>
    /// <returns>A new tensor that belongs to the caller's dispose scope.</returns>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var inverse = input.square().mean([-1], keepdim: true).add(_epsilon).rsqrt();
        return input.mul(inverse).mul(weight).MoveToOuterDisposeScope();
    }
}
