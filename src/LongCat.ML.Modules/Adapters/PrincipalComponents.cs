using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>The initial matrices of PiSSA (2404.02948, section 3): W ≈ U·S·Vᵀ, A = √(S/s)·Vᵀ, B = U·√(S/s), so that s·B·A is the best change of rank r.</summary>
internal static class PrincipalComponents
{
    /// <summary>Columns beyond the rank that a randomized decomposition carries along, for accuracy (0909.4061, section 4.2).</summary>
    private const int Oversampling = 10;

    /// <summary>Decomposes a matrix.</summary>
    /// <param name="weight">[out, in] float32.</param>
    /// <param name="rank">r, at most both sides.</param>
    /// <param name="scale">s.</param>
    /// <param name="iterations">0 for an exact decomposition, else power iterations.</param>
    /// <param name="stream">The state of the random numbers of the randomized one.</param>
    /// <returns>A [r, in] and B [out, r], owned by the caller's dispose scope.</returns>
    public static (Tensor A, Tensor B) Of(Tensor weight, int rank, double scale, int iterations, ulong stream)
    {
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        var (u, s, v) = iterations == 0 ? linalg.svd(weight, fullMatrices: false) : Randomized(weight, rank, iterations, stream);
        var root = s.narrow(0, 0, rank).div(scale).sqrt();
        return (v.narrow(0, 0, rank).mul(root.unsqueeze(1)).MoveToOuterDisposeScope(), u.narrow(1, 0, rank).mul(root).MoveToOuterDisposeScope());
    }

    /// <summary>Algorithms 4.4 and 5.1 of 0909.4061: the range by power iterations that are orthogonalized each time, then the decomposition within it.</summary>
    private static (Tensor U, Tensor S, Tensor V) Randomized(Tensor weight, int rank, int iterations, ulong stream)
    {
        long[] shape = weight.shape;
        long width = Math.Min(rank + Oversampling, Math.Min(shape[0], shape[1]));
        float[] values = new float[shape[1] * width];
        SeededValues.Normal(values, 1, stream);
        var range = Orthogonal(weight.mm(tensor(values, [shape[1], width], device: weight.device)));
        for (int i = 0; i < iterations; i++)
        {
            range = Orthogonal(weight.mm(Orthogonal(weight.t().mm(range))));
        }

        var (u, s, v) = linalg.svd(range.t().mm(weight), fullMatrices: false);
        return (range.mm(u), s, v);

        static Tensor Orthogonal(Tensor columns) => linalg.qr(columns).Q;
    }
}
