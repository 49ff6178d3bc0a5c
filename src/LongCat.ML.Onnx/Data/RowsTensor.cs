using System.Buffers;
using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>Rows of a checkpoint's matrix: <paramref name="Count"/> of them from <paramref name="First"/> on. A vector has rows of one element.</summary>
internal readonly record struct RowRange(string Tensor, long First, long Count);

/// <summary>
/// A float32 tensor put together from rows of others, in the order given: joined projections, one head's part of each, gate and up row by row.
/// Rows may be followed by zeros.
/// </summary>
/// <param name="key">The identity, see <see cref="TensorSource"/>.</param>
/// <param name="checkpoint">Where the rows come from.</param>
/// <param name="shape">The result's dimensions; the rows and their zeros fill it exactly.</param>
/// <param name="ranges">The rows; enumerated again for every pass.</param>
/// <param name="zeros">Zeros after each row.</param>
internal sealed class RowsTensor(string key, Checkpoint checkpoint, IReadOnlyList<long> shape, IEnumerable<RowRange> ranges, int zeros = 0)
    : TensorSource(key, ElementType.Float, shape)
{
    private const int BlockElements = 1 << 18;

    public override void CopyTo(Stream destination)
    {
        float[] buffer = ArrayPool<float>.Shared.Rent(BlockElements);
        try
        {
            byte[] padding = new byte[zeros * sizeof(float)];
            foreach (RowRange range in ranges)
            {
                long width = checkpoint.Tensors[range.Tensor].Shape.Skip(1).Aggregate(1L, (product, dimension) => product * dimension);

                // Without zeros between them the rows are one run.
                (long runs, long run) = zeros == 0 ? (1, range.Count * width) : (range.Count, width);
                for (long i = 0; i < runs; i++)
                {
                    Copy(range.Tensor, (range.First * width) + (i * run), run, buffer.AsSpan(0, BlockElements), destination);
                    destination.Write(padding);
                }
            }
        }
        finally
        {
            ArrayPool<float>.Shared.Return(buffer);
        }
    }

    private void Copy(string tensor, long first, long count, Span<float> buffer, Stream destination)
    {
        while (count > 0)
        {
            Span<float> block = buffer[..(int)Math.Min(count, buffer.Length)];
            checkpoint.ReadFloat32(tensor, first, block);
            destination.Write(MemoryMarshal.AsBytes(block));
            first += block.Length;
            count -= block.Length;
        }
    }
}
