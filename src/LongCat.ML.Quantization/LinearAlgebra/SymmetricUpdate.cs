using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>C ± PᵀP on the upper triangle of a square matrix, P given in panels (<see cref="Panels"/>). Parallel over tiles of C, which no two tasks share.</summary>
internal static class SymmetricUpdate
{
    /// <summary>Panels of rows that one task holds in its second-level cache while it walks over the columns.</summary>
    private const int RowPanels = 4;

    /// <summary>
    /// c[i, j] += sign · Σ_d p[d, i] · p[d, j] for i ≤ j &lt; <paramref name="columns"/>; elements below the diagonal within the diagonal's tiles change too and mean nothing.
    /// </summary>
    /// <param name="c">Row-major, <paramref name="stride"/> between rows.</param>
    /// <param name="stride">Doubles between rows of c.</param>
    /// <param name="panels">P, panel after panel of [depth, 12].</param>
    /// <param name="panelStride">Doubles between panels.</param>
    /// <param name="columns">Columns of P.</param>
    /// <param name="depth">Rows of P.</param>
    /// <param name="sign">1 or -1.</param>
    /// <param name="threads">Threads, -1: all cores.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static void Add(double[] c, int stride, double[] panels, int panelStride, int columns, int depth, double sign, int threads, CancellationToken cancellationToken)
    {
        int count = Panels.Count(columns);
        int groups = (count + RowPanels - 1) / RowPanels;
        if ((long)columns * columns * depth < 1 << 20)
        {
            for (int group = 0; group < groups; group++)
            {
                Rows(c, stride, panels, panelStride, columns, depth, sign, group);
            }

            return;
        }

        // The first groups have the longest rows: they start first.
        Parallel.For(0, groups, new ParallelOptions { CancellationToken = cancellationToken, MaxDegreeOfParallelism = threads },
            group => Rows(c, stride, panels, panelStride, columns, depth, sign, group));
    }

    private static void Rows(double[] c, int stride, double[] panels, int panelStride, int columns, int depth, double sign, int group)
    {
        int count = Panels.Count(columns);
        int first = group * RowPanels;
        int end = Math.Min(first + RowPanels, count);
        Span<double> sum = stackalloc double[Panels.TileRows * Panels.Width];
        ref double p = ref MemoryMarshal.GetArrayDataReference(panels);
        for (int right = first; right < count; right++)
        {
            int width = Math.Min(Panels.Width, columns - (right * Panels.Width));
            ref double rightPanel = ref Unsafe.Add(ref p, (nint)right * panelStride);
            for (int left = first; left < Math.Min(end, right + 1); left++)
            {
                for (int part = 0; part < Panels.Width; part += Panels.TileRows)
                {
                    int row = (left * Panels.Width) + part;
                    int rows = Math.Min(Panels.TileRows, columns - row);
                    if (rows <= 0)
                    {
                        break;
                    }

                    Panels.Multiply(ref Unsafe.Add(ref p, ((nint)left * panelStride) + part), Panels.Width, ref rightPanel, depth, ref sum[0]);
                    for (int i = 0; i < rows; i++)
                    {
                        Accumulate(c.AsSpan((int)(((long)(row + i) * stride) + (right * Panels.Width)), width), sum.Slice(i * Panels.Width, width), sign);
                    }
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Accumulate(Span<double> target, ReadOnlySpan<double> sum, double sign)
    {
        if (target.Length == Panels.Width)
        {
            Vector256<double> factor = Vector256.Create(sign);
            ref double t = ref MemoryMarshal.GetReference(target);
            ref double s = ref MemoryMarshal.GetReference(sum);
            for (nuint i = 0; i < Panels.Width; i += 4)
            {
                Vector256.FusedMultiplyAdd(Vector256.LoadUnsafe(ref s, i), factor, Vector256.LoadUnsafe(ref t, i)).StoreUnsafe(ref t, i);
            }

            return;
        }

        for (int i = 0; i < target.Length; i++)
        {
            target[i] += sign * sum[i];
        }
    }
}
