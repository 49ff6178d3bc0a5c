using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Benchmarks;

/// <summary>How fast one thread multiplies and adds float32 in registers.</summary>
internal static class MultiplyAddPeak
{
    /// <summary>Floating-point operations of a run, a multiplication and an addition each counted.</summary>
    public const double Operations = 2.0 * 12 * 8 * Steps;

    private const int Steps = 400_000;
    private static float s_sink;

    public static void Run() => s_sink = Multiply();

    /// <summary>Twelve sums: more than a multiply-add's latency times the units of any processor so far.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Multiply()
    {
        Vector256<float> x = Vector256.Create(1e-9f), a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
        for (int step = 0; step < Steps; step++)
        {
            a = Vector256.FusedMultiplyAdd(a, x, x);
            b = Vector256.FusedMultiplyAdd(b, x, x);
            c = Vector256.FusedMultiplyAdd(c, x, x);
            d = Vector256.FusedMultiplyAdd(d, x, x);
            e = Vector256.FusedMultiplyAdd(e, x, x);
            f = Vector256.FusedMultiplyAdd(f, x, x);
            g = Vector256.FusedMultiplyAdd(g, x, x);
            h = Vector256.FusedMultiplyAdd(h, x, x);
            i = Vector256.FusedMultiplyAdd(i, x, x);
            j = Vector256.FusedMultiplyAdd(j, x, x);
            k = Vector256.FusedMultiplyAdd(k, x, x);
            l = Vector256.FusedMultiplyAdd(l, x, x);
        }

        return Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }
}
