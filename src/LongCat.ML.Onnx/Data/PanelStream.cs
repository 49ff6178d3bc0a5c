using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace LongCat.ML.Onnx;

/// <summary>
/// Takes the rows of a matrix in order and passes them on in panels of 16 outputs. It holds one panel's rows (16 · K elements) and a piece of
/// its result. A pair of bfloat16 is moved as one 32-bit word, so both element types are the same transposition of 16 rows of words.
/// </summary>
internal sealed class PanelStream : Stream
{
    // Words of the result that are passed on at once: 64 KiB stay in the second-level cache until they are hashed.
    private const int PieceSteps = 1024;

    // Between rows, so that rows of a power of two do not fall into the same sets of the cache.
    private const int Gap = 16;

    private readonly Stream _destination;
    private readonly int _rowBytes;
    private readonly int _steps;
    private readonly int _stride;
    private readonly uint[] _rows;
    private readonly uint[] _piece;
    private int _row;
    private int _filled;

    /// <param name="destination">Receives the panels; stays open.</param>
    /// <param name="columns">K.</param>
    /// <param name="elementBytes">4 or 2.</param>
    public PanelStream(Stream destination, long columns, int elementBytes)
    {
        _destination = destination;
        _rowBytes = checked((int)(columns * elementBytes));
        _steps = (_rowBytes + sizeof(uint) - 1) / sizeof(uint);
        _stride = _steps + Gap;
        _rows = ArrayPool<uint>.Shared.Rent(checked(PanelTensor.Outputs * _stride));
        _piece = ArrayPool<uint>.Shared.Rent(PieceSteps * PanelTensor.Outputs);
        _rows.AsSpan().Clear();  // the second half of an odd row's last pair is never written
    }

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int count = Math.Min(buffer.Length, _rowBytes - _filled);
            buffer[..count].CopyTo(MemoryMarshal.AsBytes(_rows.AsSpan(_row * _stride, _steps))[_filled..]);
            buffer = buffer[count..];
            _filled += count;
            if (_filled == _rowBytes)
            {
                _filled = 0;
                if (++_row == PanelTensor.Outputs)
                {
                    Pass();
                }
            }
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    /// <summary>Passes on the last panel, its missing outputs zero.</summary>
    public void Complete()
    {
        if (_row > 0)
        {
            _rows.AsSpan(_row * _stride, (PanelTensor.Outputs - _row) * _stride).Clear();
            Pass();
        }
    }

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            ArrayPool<uint>.Shared.Return(_rows);
            ArrayPool<uint>.Shared.Return(_piece);
        }

        base.Dispose(disposing);
    }

    private void Pass()
    {
        for (int step = 0; step < _steps; step += PieceSteps)
        {
            int count = Math.Min(PieceSteps, _steps - step);
            Span<uint> piece = _piece.AsSpan(0, count * PanelTensor.Outputs);
            Transpose(_rows.AsSpan(step), _stride, count, piece);
            _destination.Write(MemoryMarshal.AsBytes(piece));
        }

        _row = 0;
    }

    /// <summary><c>to[s, r] = from[r, s]</c> for 16 rows r and <paramref name="count"/> steps s.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]  // an export is over before the runtime would recompile it
    private static void Transpose(ReadOnlySpan<uint> from, int stride, int count, Span<uint> to)
    {
        // One check for all that the vectors below touch.
        ArgumentOutOfRangeException.ThrowIfLessThan(from.Length, ((PanelTensor.Outputs - 1) * stride) + count, nameof(from));
        ArgumentOutOfRangeException.ThrowIfLessThan(to.Length, count * PanelTensor.Outputs, nameof(to));
        int step = 0;
        if (Sse2.IsSupported)
        {
            ref uint source = ref MemoryMarshal.GetReference(from);
            ref uint target = ref MemoryMarshal.GetReference(to);
            nuint width = (nuint)stride;
            for (; step + 4 <= count; step += 4)
            {
                for (int row = 0; row < PanelTensor.Outputs; row += 4)
                {
                    Transpose4(ref source, ((nuint)row * width) + (nuint)step, width, ref target, (nuint)((step * PanelTensor.Outputs) + row));
                }
            }
        }

        for (; step < count; step++)
        {
            for (int row = 0; row < PanelTensor.Outputs; row++)
            {
                to[(step * PanelTensor.Outputs) + row] = from[(row * stride) + step];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4(ref uint source, nuint at, nuint stride, ref uint target, nuint to)
    {
        Vector128<uint> a = Vector128.LoadUnsafe(ref source, at), b = Vector128.LoadUnsafe(ref source, at + stride);
        Vector128<uint> c = Vector128.LoadUnsafe(ref source, at + (2 * stride)), d = Vector128.LoadUnsafe(ref source, at + (3 * stride));
        Vector128<ulong> ab = Sse2.UnpackLow(a, b).AsUInt64(), cd = Sse2.UnpackLow(c, d).AsUInt64();
        Vector128<ulong> abHigh = Sse2.UnpackHigh(a, b).AsUInt64(), cdHigh = Sse2.UnpackHigh(c, d).AsUInt64();
        Sse2.UnpackLow(ab, cd).AsUInt32().StoreUnsafe(ref target, to);
        Sse2.UnpackHigh(ab, cd).AsUInt32().StoreUnsafe(ref target, to + PanelTensor.Outputs);
        Sse2.UnpackLow(abHigh, cdHigh).AsUInt32().StoreUnsafe(ref target, to + (2 * PanelTensor.Outputs));
        Sse2.UnpackHigh(abHigh, cdHigh).AsUInt32().StoreUnsafe(ref target, to + (3 * PanelTensor.Outputs));
    }
}
