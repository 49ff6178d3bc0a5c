using System.Runtime.InteropServices;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// A float32 matrix [N, K] as com.microsoft::MatMulNBits reads it: blocks of 16 to 256 along a row, each a scale and 4-bit numbers q with value (q - 8) · scale, rounded to
/// nearest. The scale puts the block's largest magnitude on -8, the one level without a counterpart. The last block of a row is filled up with zeros.
/// </summary>
internal sealed class NBitsTensor : TensorSource
{
    private readonly TensorSource _matrix;
    private readonly int _blockSize;
    private readonly bool _scales;

    private NBitsTensor(TensorSource matrix, int blockSize, bool scales)
        : base($"{matrix.Key}:{(scales ? "scales" : "int4")}", scales ? ElementType.Float : ElementType.Uint8, Dimensions(matrix, blockSize, scales))
    {
        _matrix = matrix;
        _blockSize = blockSize;
        _scales = scales;
    }

    /// <summary>The 4-bit numbers, uint8 [N, blocks, block size / 2], the earlier of two in the lower half.</summary>
    public static NBitsTensor Quants(TensorSource matrix, int blockSize) => new(matrix, blockSize, scales: false);

    /// <summary>The scales, float32 [N, blocks].</summary>
    public static NBitsTensor Scales(TensorSource matrix, int blockSize) => new(matrix, blockSize, scales: true);

    public override void CopyTo(Stream destination) => _matrix.CopyTo(new RowStream((int)_matrix.Shape[1], _blockSize, _scales, destination));

    private static long[] Dimensions(TensorSource matrix, int blockSize, bool scales)
    {
        if (matrix.Type != ElementType.Float || matrix.Shape.Count != 2)
        {
            throw new ArgumentException($"{matrix.Key} is {matrix.Type} [{string.Join(", ", matrix.Shape)}]; a float32 matrix is expected", nameof(matrix));
        }

        long blocks = (matrix.Shape[1] + blockSize - 1) / blockSize;
        return scales ? [matrix.Shape[0], blocks] : [matrix.Shape[0], blocks, blockSize / 2];
    }

    /// <summary>Collects a row and writes what becomes of it.</summary>
    private sealed class RowStream(int width, int blockSize, bool scales, Stream destination) : Stream
    {
        // Zeros behind the row's end fill its last block.
        private readonly float[] _row = new float[(width + blockSize - 1) / blockSize * blockSize];
        private readonly byte[] _quants = new byte[blockSize / 2];
        private int _bytes;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            Span<byte> row = MemoryMarshal.AsBytes(_row.AsSpan(0, width));
            while (!buffer.IsEmpty)
            {
                int count = Math.Min(buffer.Length, row.Length - _bytes);
                buffer[..count].CopyTo(row[_bytes..]);
                buffer = buffer[count..];
                _bytes += count;
                if (_bytes == row.Length)
                {
                    Quantize();
                    _bytes = 0;
                }
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        private void Quantize()
        {
            for (int first = 0; first < _row.Length; first += blockSize)
            {
                ReadOnlySpan<float> block = _row.AsSpan(first, blockSize);
                float largest = 0;
                foreach (float value in block)
                {
                    largest = Math.Abs(value) > Math.Abs(largest) ? value : largest;
                }

                float scale = largest / -8;
                if (scales)
                {
                    destination.Write(MemoryMarshal.AsBytes<float>([scale]));
                    continue;
                }

                for (int i = 0; i < blockSize; i += 2)
                {
                    _quants[i / 2] = (byte)(Level(block[i], scale) | (Level(block[i + 1], scale) << 4));
                }

                destination.Write(_quants);
            }
        }

        private static int Level(float value, float scale) => scale == 0 ? 8 : Math.Clamp((int)MathF.Round(value / scale) + 8, 0, 15);
    }
}
