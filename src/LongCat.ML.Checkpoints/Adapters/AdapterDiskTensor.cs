using System.Runtime.InteropServices;

namespace LongCat.ML.Checkpoints;

/// <summary>A tensor of adapter_model.safetensors on its way to the disk.</summary>
internal sealed record AdapterDiskTensor(string Key, TensorType Type, IReadOnlyList<long> Shape, Action<long, Span<float>> Read)
{
    private const int PieceElements = 1 << 18;

    public AdapterDiskTensor(string key, TensorType type, IReadOnlyList<long> shape, float[] values)
        : this(key, type, shape, (first, destination) => values.AsSpan((int)first, destination.Length).CopyTo(destination))
    {
    }

    public TensorDeclaration Declaration => new(Key, Type, Shape);

    /// <summary>Hands out the stored bytes, piece by piece.</summary>
    public void ForEachPiece(Action<byte[]> take)
    {
        long count = Shape.Aggregate(1L, (product, dimension) => product * dimension);
        float[] values = new float[Math.Min(count, PieceElements)];
        for (long first = 0; first < count; first += values.Length)
        {
            Span<float> piece = values.AsSpan(0, (int)Math.Min(values.Length, count - first));
            Read(first, piece);
            take(Narrow(piece, Type));
        }
    }

    /// <summary>Values as bytes of a floating-point type of 16 bits or more, rounded to nearest, ties to even.</summary>
    public static byte[] Narrow(ReadOnlySpan<float> values, TensorType type)
    {
        if (type == TensorType.Float32)
        {
            return MemoryMarshal.AsBytes(values).ToArray();
        }

        if (type == TensorType.Float64)
        {
            double[] wide = new double[values.Length];
            for (int i = 0; i < wide.Length; i++)
            {
                wide[i] = values[i];
            }

            return MemoryMarshal.AsBytes<double>(wide).ToArray();
        }

        byte[] bytes = new byte[values.Length * sizeof(ushort)];
        if (type == TensorType.BFloat16)
        {
            TensorConversion.NarrowToBFloat16(values, MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan()));
        }
        else
        {
            TensorConversion.NarrowToFloat16(values, MemoryMarshal.Cast<byte, Half>(bytes.AsSpan()));
        }

        return bytes;
    }
}
