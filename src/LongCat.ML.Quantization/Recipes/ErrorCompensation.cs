using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>
/// GPTQ (arXiv 2210.17323; OdysseyLLM, arXiv 2311.09550, section 2.2): columns are rounded from left to right, and what each rounding does to the layer's
/// output is taken back in the columns that are still free.
/// </summary>
/// <remarks>
/// With d = w - ŵ the error of one row of W, the squared output error over calibration is d·H·dᵀ = ‖d·R‖² for H = R·Rᵀ, R upper triangular (<see cref="UpperFactor"/>).
/// Element j of d·R is Σ_{i&lt;j} d_i·R_ij + d_j·R_jj: it knows the columns up to j only. So ŵ_j = round(w_j + Σ_{i&lt;j} d_i·R_ij / R_jj), which is what the
/// published updates (e = (w_j - ŵ_j) / U_jj, W[:, j+1:] -= e·U[j, j+1:], U = R⁻¹) have in column j when they come to it, and the terms of the columns to the
/// right become zero if those could be real numbers. No inverse is needed and the error made so far is known at every step.
/// Rows of W do not depend on each other: tasks take 48 of them, and every element is one chain of operations, so the bytes do not depend on threads.
/// Scales of a group are chosen when its first column is reached, on the weights as compensation has left them.
/// </remarks>
internal static class ErrorCompensation
{
    private const int RowPanels = 4;
    private const int ChunkRows = RowPanels * Panels.Width;
    private const int Depth = 256;

    /// <summary>Chooses the scale of a group of a row. Called for different rows at the same time, and for one row's groups from left to right.</summary>
    /// <param name="row">Row of W.</param>
    /// <param name="group">Group of columns; 0 for per-channel scales.</param>
    /// <param name="weights">The group's weights: compensated, or the whole row as it was for per-channel scales.</param>
    /// <param name="importance">What a squared error of each column costs while the columns after it can make up for it: R_jj².</param>
    /// <returns>The scale, not 0; negative: the row is mirrored.</returns>
    public delegate double ScaleChoice(int row, int group, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance);

    /// <summary>Quantizes a matrix.</summary>
    /// <param name="weights">[n, k].</param>
    /// <param name="n">Rows.</param>
    /// <param name="k">Columns.</param>
    /// <param name="group">Columns that share a scale, a multiple of 4; 0: all.</param>
    /// <param name="factor">R of H = XᵀX + damping.</param>
    /// <param name="choose">Chooses the scales.</param>
    /// <param name="levels">[n, k]: receives the levels, -8..7.</param>
    /// <param name="threads">Threads, -1: all cores.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>[n]: ‖d·R‖² of each row.</returns>
    public static double[] Quantize(
        float[] weights, int n, int k, int group, UpperFactor factor, ScaleChoice choose, sbyte[] levels, int threads, CancellationToken cancellationToken)
    {
        float[] importance = new float[k];
        for (int j = 0; j < k; j++)
        {
            importance[j] = (float)(factor[j, j] * factor[j, j]);
        }

        Matrix matrix = new(weights, n, k, group, factor, importance, choose, levels, new double[n]);
        Parallel.For(
            0,
            (n + ChunkRows - 1) / ChunkRows,
            new ParallelOptions { CancellationToken = cancellationToken, MaxDegreeOfParallelism = threads },
            () => new Chunk(matrix),
            (index, _, chunk) =>
            {
                chunk.Run(index * ChunkRows);
                return chunk;
            },
            _ => { });
        return matrix.Losses;
    }

    private sealed record Matrix(
        float[] Weights, int Rows, int Columns, int Group, UpperFactor Factor, float[] Importance, ScaleChoice Choose, sbyte[] Levels, double[] Losses)
    {
        // Blocks are whole groups, so that a group's weights are all up to date when it begins.
        public int BlockColumns { get; } = Group == 0 ? 128 : Group <= 128 ? 128 / Group * Group : Group;
    }

    /// <summary>Forty-eight rows and the memory they need; reused by one thread for one chunk after another.</summary>
    private sealed class Chunk(Matrix matrix)
    {
        private readonly double[] _errors = new double[ChunkRows * matrix.Columns]; // d, [panel of 12 rows][column][12]
        private readonly double[] _sums = new double[ChunkRows * matrix.BlockColumns]; // Σ_{i<j} d_i R_ij, [column of the block][48]
        private readonly double[] _ahead = new double[ChunkRows * matrix.BlockColumns];
        private readonly double[] _weights = new double[ChunkRows * matrix.BlockColumns];
        private readonly double[] _scales = new double[ChunkRows];
        private readonly double[] _losses = new double[ChunkRows];
        private readonly double[] _step = new double[ChunkRows];
        private readonly float[] _group = new float[Math.Max(matrix.Columns, matrix.BlockColumns)];

        private int _first;
        private int _rows;

        public void Run(int first)
        {
            _first = first;
            _rows = Math.Min(ChunkRows, matrix.Rows - first);
            Array.Clear(_losses);
            Array.Fill(_scales, 1);
            if (matrix.Group == 0)
            {
                for (int row = 0; row < _rows; row++)
                {
                    _scales[row] = matrix.Choose(first + row, 0, matrix.Weights.AsSpan((int)((long)(first + row) * matrix.Columns), matrix.Columns), matrix.Importance);
                }
            }

            for (int column = 0; column < matrix.Columns; column += matrix.BlockColumns)
            {
                Block(column, Math.Min(matrix.BlockColumns, matrix.Columns - column));
            }

            _losses.AsSpan(0, _rows).CopyTo(matrix.Losses.AsSpan(first));
        }

        private void Block(int start, int width)
        {
            Gather(start, width);
            CarryErrors(start, width);
            for (int j = 0; j < width; j++)
            {
                if (matrix.Group > 0 && j % matrix.Group == 0)
                {
                    ChooseScales(start, j, Math.Min(matrix.Group, width - j));
                }

                Column(start, j, width);
            }
        }

        /// <summary>The block's weights, rows side by side.</summary>
        private void Gather(int start, int width)
        {
            if (_rows < ChunkRows)
            {
                Array.Clear(_weights);
            }

            for (int row = 0; row < _rows; row++)
            {
                ReadOnlySpan<float> source = matrix.Weights.AsSpan((int)(((long)(_first + row) * matrix.Columns) + start), width);
                for (int j = 0; j < source.Length; j++)
                {
                    _weights[(j * ChunkRows) + row] = source[j];
                }
            }
        }

        /// <summary>sums = D[:, 0..start) · R[0..start, block].</summary>
        private void CarryErrors(int start, int width)
        {
            Array.Clear(_sums);
            Span<double> tile = stackalloc double[Panels.TileRows * Panels.Width];
            for (int top = 0; top < start; top += Depth)
            {
                int depth = Math.Min(Depth, start - top);
                for (int panel = 0; panel < RowPanels; panel++)
                {
                    ref double errors = ref _errors[((panel * matrix.Columns) + top) * Panels.Width];
                    for (int column = 0; column < width; column += UpperFactor.PanelColumns)
                    {
                        ref double factor = ref Unsafe.Add(ref matrix.Factor.Panel((start + column) / UpperFactor.PanelColumns), top * UpperFactor.PanelColumns);
                        Panels.Multiply(ref factor, UpperFactor.PanelColumns, ref errors, depth, ref tile[0]);
                        for (int i = 0; i < Math.Min(Panels.TileRows, width - column); i++)
                        {
                            ref double target = ref _sums[((column + i) * ChunkRows) + (panel * Panels.Width)];
                            for (nuint lane = 0; lane < Panels.Width; lane += 4)
                            {
                                (Vector256.LoadUnsafe(ref target, lane) + Vector256.LoadUnsafe(ref tile[i * Panels.Width], lane)).StoreUnsafe(ref target, lane);
                            }
                        }
                    }
                }
            }
        }

        /// <summary>The group's weights if nothing of it were rounded: the free columns take back all errors so far.</summary>
        private void ChooseScales(int start, int offset, int width)
        {
            _sums.AsSpan(offset * ChunkRows, width * ChunkRows).CopyTo(_ahead.AsSpan(offset * ChunkRows));
            for (int j = offset; j < offset + width; j++)
            {
                Span<double> sums = _ahead.AsSpan(j * ChunkRows, ChunkRows);
                double inverse = 1 / matrix.Factor[start + j, start + j];
                for (int row = 0; row < sums.Length; row++)
                {
                    // What the column moves by; as an error it is the negative of that.
                    sums[row] *= inverse;
                    _step[row] = -sums[row];
                }

                Spread(_ahead, start, j, offset + width);
            }

            for (int row = 0; row < _rows; row++)
            {
                for (int j = 0; j < width; j++)
                {
                    int index = ((offset + j) * ChunkRows) + row;
                    _group[j] = (float)(_weights[index] + _ahead[index]);
                }

                _scales[row] = matrix.Choose(
                    _first + row, (start + offset) / matrix.Group, _group.AsSpan(0, width), matrix.Importance.AsSpan(start + offset, width));
            }
        }

        /// <summary>Rounds one column and tells the rest of the block.</summary>
        private void Column(int start, int j, int width)
        {
            double diagonal = matrix.Factor[start + j, start + j];
            double inverse = 1 / diagonal;
            for (int row = 0; row < ChunkRows; row++)
            {
                int index = (j * ChunkRows) + row;
                double target = _weights[index] + (_sums[index] * inverse);
                double level = Math.Clamp(Math.Round(target / _scales[row]), -8, 7);
                double value = level * _scales[row];
                double miss = (target - value) * diagonal;
                _losses[row] += miss * miss;
                _step[row] = _weights[index] - value;
                if (row < _rows)
                {
                    matrix.Levels[((long)(_first + row) * matrix.Columns) + start + j] = (sbyte)level;
                }
            }

            for (int panel = 0; panel < RowPanels; panel++)
            {
                _step.AsSpan(panel * Panels.Width, Panels.Width).CopyTo(_errors.AsSpan(((panel * matrix.Columns) + start + j) * Panels.Width));
            }

            Spread(_sums, start, j, width);
        }

        /// <summary>sums[j'] += R[j, j'] · step for the columns j' behind j.</summary>
        private void Spread(double[] sums, int start, int j, int end)
        {
            ref double step = ref MemoryMarshal.GetArrayDataReference(_step);
            for (int next = j + 1; next < end; next++)
            {
                Vector256<double> factor = Vector256.Create(matrix.Factor[start + j, start + next]);
                ref double target = ref sums[next * ChunkRows];
                for (nuint lane = 0; lane < ChunkRows; lane += 4)
                {
                    Vector256.FusedMultiplyAdd(factor, Vector256.LoadUnsafe(ref step, lane), Vector256.LoadUnsafe(ref target, lane)).StoreUnsafe(ref target, lane);
                }
            }
        }
    }
}
