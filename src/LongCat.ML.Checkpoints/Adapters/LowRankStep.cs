using System.Numerics;
using System.Runtime.InteropServices;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// One adapter's change of a weight matrix [rows, columns]: W + scale · left · right, left [rows, rank], right [rank, columns]; with magnitudes (DoRA) each row of the sum,
/// or of an embedding each column, is brought to the length that its magnitude says.
/// </summary>
internal sealed class LowRankStep
{
    private readonly string _adapter;
    private readonly string _module;
    private readonly int _columns;
    private readonly int _rank;
    private readonly float[] _left;
    private readonly float[] _right;
    private readonly float _scale;
    private readonly float[]? _magnitude;
    private readonly bool _perColumn;
    private readonly Lazy<float[]>? _gains;

    private LowRankStep(
        string adapter, string module, int rank, int columns, float[] left, float[] right, double scale, float[]? magnitude, bool perColumn, Action<long, Span<float>> before)
    {
        (_adapter, _module, _rank, _columns, _left, _right, _scale, _magnitude, _perColumn) =
            (adapter, module, rank, columns, left, right, (float)scale, magnitude, perColumn);
        _gains = magnitude is null ? null : new Lazy<float[]>(() => Gains(before));
    }

    /// <summary>The change of a module's weight.</summary>
    /// <param name="adapter">What messages call the adapter.</param>
    /// <param name="matrix">The module's matrices.</param>
    /// <param name="before">Reads whole rows of the weight as it is before this step.</param>
    public static LowRankStep OfWeight(string adapter, AdapterMatrix matrix, Action<long, Span<float>> before) => matrix.Kind == AdapterKind.Linear
        ? new LowRankStep(adapter, matrix.Module, matrix.Rank, matrix.In, matrix.B, matrix.A, matrix.Scale, matrix.Magnitude, perColumn: false, before)
        : new LowRankStep(adapter, matrix.Module, matrix.Rank, matrix.Out, Transpose(matrix.A, matrix.Rank, matrix.In), Transpose(matrix.B, matrix.Out, matrix.Rank), matrix.Scale, matrix.Magnitude, perColumn: true, before);

    /// <summary>The change of a module's bias.</summary>
    public static LowRankStep OfBias(string adapter, AdapterMatrix matrix) =>
        new(adapter, matrix.Module, 1, 1, matrix.Bias!, [1], matrix.Scale, null, perColumn: false, static (_, _) => { });

    /// <summary>Applies the change to consecutive elements, of which the first has the given row-major index.</summary>
    public void Apply(long first, Span<float> values)
    {
        float[]? gains = _gains?.Value;
        float[] sum = new float[Math.Min(_columns, values.Length)];
        for (int done = 0; done < values.Length;)
        {
            (long row, long column) = Math.DivRem(first + done, _columns);
            int run = (int)Math.Min(_columns - column, values.Length - done);
            Span<float> piece = values.Slice(done, run);
            AddProduct((int)row, (int)column, piece, sum);
            if (gains is not null)
            {
                for (int i = 0; i < run; i++)
                {
                    piece[i] *= gains[_perColumn ? column + i : row];
                }
            }

            done += run;
        }
    }

    /// <summary>values += scale · (left[row] · right)[column …]. The product is summed up first, as PEFT does, so that the weight is rounded once.</summary>
    private void AddProduct(int row, int column, Span<float> values, float[] sum)
    {
        Span<float> product = sum.AsSpan(0, values.Length);
        product.Clear();
        for (int k = 0; k < _rank; k++)
        {
            MultiplyAdd(_left[((long)row * _rank) + k], _right.AsSpan((k * _columns) + column, values.Length), product);
        }

        MultiplyAdd(_scale, product, values);
    }

    private static void MultiplyAdd(float factor, ReadOnlySpan<float> source, Span<float> destination)
    {
        int i = 0;
        Vector<float> factors = new(factor);
        ref float from = ref MemoryMarshal.GetReference(source);
        ref float to = ref MemoryMarshal.GetReference(destination);
        for (; i <= source.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.FusedMultiplyAdd(factors, Vector.LoadUnsafe(ref from, (nuint)i), Vector.LoadUnsafe(ref to, (nuint)i)).StoreUnsafe(ref to, (nuint)i);
        }

        for (; i < source.Length; i++)
        {
            destination[i] = float.FusedMultiplyAdd(factor, source[i], destination[i]);
        }
    }

    /// <summary>m / ‖W + scale · left · right‖ for each row, or column.</summary>
    private float[] Gains(Action<long, Span<float>> before)
    {
        float[] row = new float[_columns], sum = new float[_columns];
        double[] squares = new double[_magnitude!.Length];
        int rows = _left.Length / _rank;
        for (int r = 0; r < rows; r++)
        {
            before((long)r * _columns, row);
            AddProduct(r, 0, row, sum);
            for (int c = 0; c < _columns; c++)
            {
                squares[_perColumn ? c : r] += (double)row[c] * row[c];
            }
        }

        float[] gains = new float[squares.Length];
        for (int i = 0; i < gains.Length; i++)
        {
            double norm = Math.Sqrt(squares[i]);
            string line = _perColumn ? $"column {i} of its table" : $"row {i} of its weight";
            if (!double.IsFinite(norm))
            {
                throw new AdapterException(_adapter, _module, $"{line} has a norm that is not finite: the base weight holds NaN or infinite values");
            }

            if (norm == 0 && _magnitude[i] != 0)
            {
                throw new AdapterException(_adapter, _module,
                    FormattableString.Invariant($"{line} is zero with the adapter added, so DoRA's magnitude {_magnitude[i]:R} has no direction to scale; expected a norm above 0. The adapter goes with another base model, or the base lacks this row"));
            }

            // A row of zeros that was never trained has magnitude 0 and stays zero.
            gains[i] = norm == 0 ? 1 : (float)(_magnitude[i] / norm);
        }

        return gains;
    }

    private static float[] Transpose(float[] matrix, int rows, int columns)
    {
        float[] result = new float[matrix.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                result[((long)c * rows) + r] = matrix[((long)r * columns) + c];
            }
        }

        return result;
    }
}
