using System.Buffers;
using System.Runtime.InteropServices;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// The up or the down projection of a gated MLP by its inner channels, as longcat::SparseGatedMlp reads what it does not skip (docs/design.md section 4): [I, H rounded up to 16], behind each
/// channel zeros. A channel is a row of up, which only gets its zeros, and a column of down, which is transposed while it streams.
/// </summary>
internal sealed class ChannelTensor : TensorSource
{
    /// <summary>Bytes of the result that are made in one pass over a matrix that is transposed.</summary>
    private const long BandBytes = 64 << 20;

    private readonly TensorSource _rows;
    private readonly bool _columns;
    private readonly long _bandBytes;

    /// <param name="rows">The matrix: up [I, H], or down [H, I].</param>
    /// <param name="columns">Whether its columns are the channels.</param>
    /// <param name="bandBytes">Bytes that are transposed at once.</param>
    public ChannelTensor(TensorSource rows, bool columns, long bandBytes = BandBytes)
        : base($"{rows.Key}:channels", rows.Type, ChannelShape(rows, columns))
    {
        _rows = rows;
        _columns = columns;
        _bandBytes = bandBytes;
    }

    public override void CopyTo(Stream destination)
    {
        int element = Type == ElementType.Float ? sizeof(float) : sizeof(ushort);
        if (!_columns)
        {
            using RowPipe padded = new(_rows.Shape[1] * element, row =>
            {
                destination.Write(row);
                destination.Write(new byte[(int)((Shape[1] * element) - row.Length)]);
            });
            _rows.CopyTo(padded);
            return;
        }

        long channels = Shape[0], channelBytes = Shape[1] * element, most = Math.Max(1, _bandBytes / channelBytes);
        for (long first = 0; first < channels; first += most)
        {
            int count = (int)Math.Min(most, channels - first);
            byte[] band = ArrayPool<byte>.Shared.Rent(checked((int)(count * channelBytes)));
            Span<byte> used = band.AsSpan(0, (int)(count * channelBytes));
            try
            {
                used.Clear();
                int place = 0;
                using RowPipe transposed = new(channels * element, row =>
                {
                    ReadOnlySpan<byte> part = row.AsSpan((int)(first * element), count * element);
                    if (element == sizeof(float))
                    {
                        Scatter(MemoryMarshal.Cast<byte, uint>(part), MemoryMarshal.Cast<byte, uint>(band.AsSpan()), place++, Shape[1]);
                    }
                    else
                    {
                        Scatter(MemoryMarshal.Cast<byte, ushort>(part), MemoryMarshal.Cast<byte, ushort>(band.AsSpan()), place++, Shape[1]);
                    }
                });
                _rows.CopyTo(transposed);
                destination.Write(used);
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(band);
            }
        }
    }

    private static void Scatter<T>(ReadOnlySpan<T> row, Span<T> band, int place, long stride)
    {
        for (int i = 0; i < row.Length; i++)
        {
            band[(int)((i * stride) + place)] = row[i];
        }
    }

    private static IReadOnlyList<long> ChannelShape(TensorSource rows, bool columns)
    {
        if (rows.Shape.Count != 2 || rows.Type is not (ElementType.Float or ElementType.Bfloat16))
        {
            throw new ArgumentException($"{rows.Key} is {rows.Type} [{string.Join(", ", rows.Shape)}], only a float32 or bfloat16 matrix is stored by channel", nameof(rows));
        }

        (long channels, long hidden) = columns ? (rows.Shape[1], rows.Shape[0]) : (rows.Shape[0], rows.Shape[1]);
        return [channels, (hidden + PanelTensor.Outputs - 1) / PanelTensor.Outputs * PanelTensor.Outputs];
    }
}
