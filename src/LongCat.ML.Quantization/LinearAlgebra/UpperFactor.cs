using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>
/// H = R·Rᵀ with R upper triangular, in double precision. R⁻¹ is the upper Cholesky factor of H⁻¹ that GPTQ (arXiv 2210.17323) works with:
/// (R⁻¹)ᵀ R⁻¹ = H⁻¹, so the compensation needs neither an inverse nor a second factorization (<see cref="ErrorCompensation"/>).
/// Blocked from the last column to the first, in place, parallel, the same bytes whatever the threads. Immutable afterwards.
/// </summary>
internal sealed class UpperFactor
{
    /// <summary>Columns of a panel of the stored factor.</summary>
    public const int PanelColumns = Panels.TileRows;

    private const int Block = 128;

    // Panel p: columns 4p..4p+3, rows 0..4p+3 of R, [row, 4].
    private readonly double[] _panels;

    private UpperFactor(int size, double[] panels)
    {
        Size = size;
        _panels = panels;
    }

    /// <summary>Rows and columns.</summary>
    public int Size { get; }

    /// <summary>Bytes it holds.</summary>
    public long Bytes => 8L * _panels.Length;

    /// <summary>R[row, column], row ≤ column.</summary>
    public double this[int row, int column] => _panels[PanelOffset(column / PanelColumns) + (row * PanelColumns) + (column % PanelColumns)];

    /// <summary>The panel's elements: [row, 4].</summary>
    public ref double Panel(int panel) => ref _panels[PanelOffset(panel)];

    /// <summary>‖v·R‖² = v·H·vᵀ.</summary>
    /// <param name="vector">[size].</param>
    /// <returns>The square.</returns>
    public double SquaredProduct(ReadOnlySpan<double> vector)
    {
        Vector256<double> squares = default;
        for (int panel = 0; panel * PanelColumns < Size; panel++)
        {
            ref double factor = ref Panel(panel);
            Vector256<double> sum = default;
            for (int row = 0; row < Math.Min((panel + 1) * PanelColumns, Size); row++)
            {
                sum = Vector256.FusedMultiplyAdd(Vector256.Create(vector[row]), Vector256.LoadUnsafe(ref factor, (nuint)(row * PanelColumns)), sum);
            }

            squares = Vector256.FusedMultiplyAdd(sum, sum, squares);
        }

        return Vector256.Sum(squares);
    }

    /// <summary>
    /// Factorizes in place: the matrix is overwritten.
    /// </summary>
    /// <param name="matrix">[size, size], row-major; only the upper triangle is read.</param>
    /// <param name="size">Rows.</param>
    /// <param name="threads">Threads, -1: all cores.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The factor, or null when the matrix is not positive definite.</returns>
    public static UpperFactor? TryFactorize(double[] matrix, int size, int threads, CancellationToken cancellationToken)
    {
        // Blocks begin at multiples of the block size, so that only the last one is short.
        double[] diagonal = new double[Block * Block];
        double[] panels = new double[Panels.Count(size) * Panels.Width * Block];
        for (int first = (size - 1) / Block * Block; first >= 0; first -= Block)
        {
            int width = Math.Min(Block, size - first);
            for (int i = 0; i < width; i++)
            {
                matrix.AsSpan(Index(first + i, first, size), width).CopyTo(diagonal.AsSpan(i * Block, width));
            }

            if (!FactorizeBlock(diagonal, width))
            {
                return null;
            }

            for (int i = 0; i < width; i++)
            {
                diagonal.AsSpan(i * Block, width).CopyTo(matrix.AsSpan(Index(first + i, first, size), width));
            }

            if (first == 0)
            {
                break;
            }

            int count = Panels.Count(first);
            ParallelOptions options = new() { CancellationToken = cancellationToken, MaxDegreeOfParallelism = threads };
            Parallel.For(0, count, options, panel => Solve(matrix, size, first, width, diagonal, panels, panel));
            SymmetricUpdate.Add(matrix, size, panels, Panels.Width * Block, first, width, -1, threads, cancellationToken);
        }

        return new UpperFactor(size, Pack(matrix, size));
    }

    private static int Index(int row, int column, int size) => (int)(((long)row * size) + column);

    private static int PanelOffset(int panel) => 8 * panel * (panel + 1);

    /// <summary>One block on the diagonal: A = R·Rᵀ, from the last column on.</summary>
    private static bool FactorizeBlock(double[] a, int width)
    {
        Span<double> column = stackalloc double[Block];
        for (int j = width - 1; j >= 0; j--)
        {
            double pivot = a[(j * Block) + j];
            if (!(pivot > 0) || !double.IsFinite(pivot))
            {
                return false;
            }

            double root = Math.Sqrt(pivot);
            for (int i = 0; i < j; i++)
            {
                column[i] = a[(i * Block) + j] / root;
                a[(i * Block) + j] = column[i];
            }

            a[(j * Block) + j] = root;
            for (int i = 0; i < j; i++)
            {
                Span<double> row = a.AsSpan(i * Block, j);
                double factor = column[i];
                for (int k = i; k < row.Length; k++)
                {
                    row[k] = Math.FusedMultiplyAdd(-factor, column[k], row[k]);
                }
            }
        }

        return true;
    }

    /// <summary>Twelve rows above the block: X·R_bᵀ = A, as columns of a panel.</summary>
    private static void Solve(double[] matrix, int size, int first, int width, double[] diagonal, double[] panels, int panel)
    {
        int row = panel * Panels.Width;
        int rows = Math.Min(Panels.Width, first - row);
        Span<double> x = panels.AsSpan(panel * Panels.Width * Block, Panels.Width * Block);
        x.Clear();
        for (int i = 0; i < rows; i++)
        {
            ReadOnlySpan<double> source = matrix.AsSpan(Index(row + i, first, size), width);
            for (int j = 0; j < source.Length; j++)
            {
                x[(j * Panels.Width) + i] = source[j];
            }
        }

        ref double p = ref MemoryMarshal.GetReference(x);
        for (int j = width - 1; j >= 0; j--)
        {
            ref double target = ref Unsafe.Add(ref p, j * Panels.Width);
            Vector256<double> s0 = Vector256.LoadUnsafe(ref target, 0);
            Vector256<double> s1 = Vector256.LoadUnsafe(ref target, 4);
            Vector256<double> s2 = Vector256.LoadUnsafe(ref target, 8);
            Vector256<double> t0 = default, t1 = default, t2 = default;
            int c = j + 1;
            for (; c + 1 < width; c += 2)
            {
                ref double solved = ref Unsafe.Add(ref p, c * Panels.Width);
                Vector256<double> factor = Vector256.Create(-diagonal[(j * Block) + c]);
                s0 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 0), s0);
                s1 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 4), s1);
                s2 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 8), s2);
                factor = Vector256.Create(-diagonal[(j * Block) + c + 1]);
                t0 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 12), t0);
                t1 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 16), t1);
                t2 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 20), t2);
            }

            if (c < width)
            {
                ref double solved = ref Unsafe.Add(ref p, c * Panels.Width);
                Vector256<double> factor = Vector256.Create(-diagonal[(j * Block) + c]);
                s0 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 0), s0);
                s1 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 4), s1);
                s2 = Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref solved, 8), s2);
            }

            Vector256<double> scale = Vector256.Create(1 / diagonal[(j * Block) + j]);
            ((s0 + t0) * scale).StoreUnsafe(ref target, 0);
            ((s1 + t1) * scale).StoreUnsafe(ref target, 4);
            ((s2 + t2) * scale).StoreUnsafe(ref target, 8);
        }

        for (int i = 0; i < rows; i++)
        {
            Span<double> target = matrix.AsSpan(Index(row + i, first, size), width);
            for (int j = 0; j < target.Length; j++)
            {
                target[j] = x[(j * Panels.Width) + i];
            }
        }
    }

    private static double[] Pack(double[] matrix, int size)
    {
        int count = (size + PanelColumns - 1) / PanelColumns;
        double[] packed = new double[PanelOffset(count)];
        Parallel.For(0, count, panel =>
        {
            int column = panel * PanelColumns;
            int offset = PanelOffset(panel);
            for (int row = 0; row < Math.Min(column + PanelColumns, size); row++)
            {
                for (int j = Math.Max(row, column); j < Math.Min(column + PanelColumns, size); j++)
                {
                    packed[offset + (row * PanelColumns) + j - column] = matrix[Index(row, j, size)];
                }
            }
        });
        return packed;
    }
}
