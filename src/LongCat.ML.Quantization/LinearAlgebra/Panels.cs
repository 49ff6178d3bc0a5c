using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>
/// Columns of a matrix in double precision, twelve side by side: panel p holds [depth, 12] contiguously, columns 12p..12p+11, zeros beyond the last column.
/// Twelve doubles are three vectors of 256 bits, and four rows by twelve columns of a product are the twelve accumulators that hide the latency of a multiply-add.
/// Every element of a product is one chain of fused multiply-adds in ascending depth, whatever the vectors or threads, so results are the same everywhere.
/// </summary>
internal static class Panels
{
    /// <summary>Columns of a panel.</summary>
    public const int Width = 12;

    /// <summary>Rows of a tile.</summary>
    public const int TileRows = 4;

    /// <summary>How many panels hold that many columns.</summary>
    public static int Count(int columns) => (columns + Width - 1) / Width;

    /// <summary>
    /// sum[4, 12] = Σ_d left[d, 0..3] ⊗ right[d, 0..11], row-major. `left` has a stride between depths, `right` is a panel.
    /// </summary>
    public static void Multiply(ref double left, nint leftStride, ref double right, int depth, ref double sum)
    {
        Vector256<double> s00 = default, s01 = default, s02 = default;
        Vector256<double> s10 = default, s11 = default, s12 = default;
        Vector256<double> s20 = default, s21 = default, s22 = default;
        Vector256<double> s30 = default, s31 = default, s32 = default;
        for (int d = 0; d < depth; d++)
        {
            Vector256<double> r0 = Vector256.LoadUnsafe(ref right);
            Vector256<double> r1 = Vector256.LoadUnsafe(ref right, 4);
            Vector256<double> r2 = Vector256.LoadUnsafe(ref right, 8);
            Vector256<double> l = Vector256.Create(left);
            s00 = Vector256.FusedMultiplyAdd(l, r0, s00);
            s01 = Vector256.FusedMultiplyAdd(l, r1, s01);
            s02 = Vector256.FusedMultiplyAdd(l, r2, s02);
            l = Vector256.Create(Unsafe.Add(ref left, 1));
            s10 = Vector256.FusedMultiplyAdd(l, r0, s10);
            s11 = Vector256.FusedMultiplyAdd(l, r1, s11);
            s12 = Vector256.FusedMultiplyAdd(l, r2, s12);
            l = Vector256.Create(Unsafe.Add(ref left, 2));
            s20 = Vector256.FusedMultiplyAdd(l, r0, s20);
            s21 = Vector256.FusedMultiplyAdd(l, r1, s21);
            s22 = Vector256.FusedMultiplyAdd(l, r2, s22);
            l = Vector256.Create(Unsafe.Add(ref left, 3));
            s30 = Vector256.FusedMultiplyAdd(l, r0, s30);
            s31 = Vector256.FusedMultiplyAdd(l, r1, s31);
            s32 = Vector256.FusedMultiplyAdd(l, r2, s32);
            left = ref Unsafe.Add(ref left, leftStride);
            right = ref Unsafe.Add(ref right, Width);
        }

        s00.StoreUnsafe(ref sum, 0);
        s01.StoreUnsafe(ref sum, 4);
        s02.StoreUnsafe(ref sum, 8);
        s10.StoreUnsafe(ref sum, 12);
        s11.StoreUnsafe(ref sum, 16);
        s12.StoreUnsafe(ref sum, 20);
        s20.StoreUnsafe(ref sum, 24);
        s21.StoreUnsafe(ref sum, 28);
        s22.StoreUnsafe(ref sum, 32);
        s30.StoreUnsafe(ref sum, 36);
        s31.StoreUnsafe(ref sum, 40);
        s32.StoreUnsafe(ref sum, 44);
    }
}
