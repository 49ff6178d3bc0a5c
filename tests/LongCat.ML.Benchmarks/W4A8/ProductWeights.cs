using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>
/// Random weights of a chain width → inner → width …, every matrix its own: 4-bit ones packed for longcat::W4A8MatMul, the bits that the blocks of MatMulNBits take,
/// and 8-bit ones. Scales keep the chain's activations near 1.
/// </summary>
internal sealed unsafe class ProductWeights : IDisposable
{
    /// <summary>More than any last-level cache holds of 4-bit weights.</summary>
    public const long LeastBytes = 270_000_000;

    private readonly List<IDisposable> owned = [];
    private readonly long[] offsets;

    public ProductWeights(KernelProbe probe, int width, int inner, int group, bool eightBits, long leastBytes)
    {
        (Width, Inner) = (width, inner);
        W4A8Shape up = new(inner, width, group), down = new(width, inner, group);
        Shapes = [up, down];
        Pairs = (int)Math.Max(1, (leastBytes + ((long)width * inner) - 1) / ((long)width * inner));
        long[] sizes = [.. Shapes.Select(probe.PackedBytes)];
        offsets = new long[(2 * Pairs) + 1];
        for (int i = 0; i < 2 * Pairs; i++)
        {
            offsets[i + 1] = offsets[i] + ((sizes[i % 2] + 63) / 64 * 64);
        }

        Packed = Own(new PageBuffer(offsets[^1]).Fill(1));
        for (int i = 0; i < 2 * Pairs; i++)
        {
            GroupScales(Packed.Bytes + offsets[i], Shapes[i % 2]);
        }

        Bits = Own(new PageBuffer((long)width * inner * Pairs * (eightBits ? 2 : 1)).Fill(2));
        Scales = [.. Shapes.Select(shape => Own(new PageBuffer(4L * shape.OutFeatures)))];
        for (int i = 0; i < 2; i++)
        {
            Floats(Scales[i], shape => 1 / (Math.Sqrt(shape.InFeatures) * 4.6 * 96), Shapes[i]);
        }
    }

    public int Width { get; }

    public int Inner { get; }

    public int Pairs { get; }

    public W4A8Shape[] Shapes { get; }

    /// <summary>All matrices for longcat::W4A8MatMul, one after the other.</summary>
    public PageBuffer Packed { get; }

    /// <summary>Random bits: of the 4-bit matrices for MatMulNBits the first half.</summary>
    public PageBuffer Bits { get; }

    /// <summary>Output scales of the packed matrices of either shape.</summary>
    public PageBuffer[] Scales { get; }

    public byte* Matrix(int index) => Packed.Bytes + offsets[index];

    public long MatrixBytes(int index) => offsets[index + 1] - offsets[index];

    /// <summary>Float32 values, all of one size, that live as long as the weights.</summary>
    public float* Constant(long count, double value)
    {
        PageBuffer buffer = Own(new PageBuffer(4 * count));
        new Span<float>(buffer.Bytes, checked((int)count)).Fill((float)value);
        return (float*)buffer.Bytes;
    }

    public void Dispose() => owned.ForEach(buffer => buffer.Dispose());

    private static void Floats(PageBuffer to, Func<W4A8Shape, double> value, W4A8Shape shape) => new Span<float>(to.Bytes, shape.OutFeatures).Fill((float)value(shape));

    /// <summary>Integers of 65 to 127 behind each group of each panel, as two-level scales have them.</summary>
    private static void GroupScales(byte* packed, W4A8Shape shape)
    {
        const int columns = 64, depth = 8;
        byte* at = packed;
        for (int panel = 0; panel < (shape.OutFeatures + columns - 1) / columns; panel++)
        {
            for (int group = 0; group < shape.Groups; group++)
            {
                int values = Math.Min(shape.Group, shape.InFeatures - (group * shape.Group));
                at += (values + depth - 1) / depth * (columns * depth / 2);
                foreach (ref byte scale in new Span<byte>(at, columns))
                {
                    scale = (byte)(65 + (scale % 63));
                }

                at += columns;
            }
        }
    }

    private T Own<T>(T buffer)
        where T : IDisposable
    {
        owned.Add(buffer);
        return buffer;
    }
}
