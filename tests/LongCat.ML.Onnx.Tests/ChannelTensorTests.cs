using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Projections by channel: what lies where, whatever the pieces in which the matrix streams and the bands in which it is transposed.</summary>
public sealed class ChannelTensorTests
{
    [Theory]
    [InlineData(5, 3, 1 << 20)]
    [InlineData(33, 48, 1 << 20)]
    [InlineData(33, 48, 400)]
    [InlineData(1, 17, 1)]
    public void A_channel_is_a_row_of_up_and_a_column_of_down(int channels, int hidden, long band)
    {
        foreach (ElementType type in (ElementType[])[ElementType.Float, ElementType.Bfloat16])
        {
            int element = type == ElementType.Float ? 4 : 2, stride = (hidden + 15) / 16 * 16;
            byte[] up = new Random(5).GetItems<byte>([.. Enumerable.Range(1, 255).Select(i => (byte)i)], channels * hidden * element);
            byte[] down = new byte[up.Length], want = new byte[channels * stride * element];
            for (int i = 0; i < channels; i++)
            {
                for (int j = 0; j < hidden; j++)
                {
                    Span<byte> value = up.AsSpan(((i * hidden) + j) * element, element);
                    value.CopyTo(down.AsSpan(((j * channels) + i) * element));
                    value.CopyTo(want.AsSpan(((i * stride) + j) * element));
                }
            }

            ChannelTensor rows = new(new Pieces(up, type, channels, hidden), columns: false), columns = new(new Pieces(down, type, hidden, channels), columns: true, band);
            Assert.Equal([channels, stride], rows.Shape);
            Assert.Equal([channels, stride], columns.Shape);
            Assert.Equal(want, Bytes(rows));
            Assert.Equal(want, Bytes(columns));
        }
    }

    [Fact]
    public void Only_matrices_of_floats_are_stored_by_channel()
    {
        ArgumentException refused = Assert.Throws<ArgumentException>(() => new ChannelTensor(new Pieces(new byte[6], ElementType.Uint8, 2, 3), columns: false));
        Assert.Contains("m is Uint8 [2, 3], only a float32 or bfloat16 matrix is stored by channel", refused.Message, StringComparison.Ordinal);
    }

    private static byte[] Bytes(TensorSource source)
    {
        using MemoryStream stream = new();
        source.CopyTo(stream);
        Assert.Equal(source.ByteLength, stream.Length);
        return stream.ToArray();
    }

    /// <summary>A matrix that streams in pieces of seven bytes.</summary>
    private sealed class Pieces(byte[] bytes, ElementType type, params long[] shape) : TensorSource("m", type, shape)
    {
        public override void CopyTo(Stream destination)
        {
            foreach (byte[] piece in bytes.Chunk(7))
            {
                destination.Write(piece);
            }
        }
    }
}
