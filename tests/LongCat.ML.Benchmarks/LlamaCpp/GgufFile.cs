using System.Runtime.InteropServices;
using System.Text;

namespace LongCat.ML.Benchmarks.LlamaCpp;

/// <summary>How a tensor of a GGUF file is stored: its number in the format, and values and bytes of a block.</summary>
internal sealed record GgufType(uint Number, int BlockValues, int BlockBytes)
{
    public static GgufType F32 { get; } = new(0, 1, 4);

    /// <summary>4 bits and one scale for 32 values.</summary>
    public static GgufType Q4_0 { get; } = new(2, 32, 18);

    /// <summary>4 bits for 256 values, of which each 32 have a scale and a minimum of 6 bits.</summary>
    public static GgufType Q4K { get; } = new(12, 256, 144);

    /// <summary>6 bits for 256 values, of which each 16 have a scale of 8 bits.</summary>
    public static GgufType Q6K { get; } = new(14, 256, 210);
}

/// <summary>A tensor of a GGUF file, a matrix [Rows, Width] whose rows lie one after the other.</summary>
internal sealed record GgufTensor(string Name, GgufType Type, long Width, long Rows)
{
    public long Bytes => Width / Type.BlockValues * Type.BlockBytes * Rows;
}

/// <summary>Writes a GGUF file (version 3) of random weights. Every block is drawn: matrices of equal content would be read from a cache.</summary>
internal static class GgufFile
{
    private const int Alignment = 32;

    /// <summary>The file is whole or absent.</summary>
    /// <param name="path">Where it goes.</param>
    /// <param name="metadata">string, uint and float values.</param>
    /// <param name="tensors">In the order of the file.</param>
    public static void Write(string path, IReadOnlyList<(string Key, object Value)> metadata, IReadOnlyList<GgufTensor> tensors)
    {
        using MemoryStream head = new();
        using (BinaryWriter writer = new(head, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write("GGUF"u8);
            writer.Write(3u);
            writer.Write((ulong)tensors.Count);
            writer.Write((ulong)metadata.Count);
            foreach ((string key, object value) in metadata)
            {
                Text(writer, key);
                switch (value)
                {
                    case uint number:
                        writer.Write(4u);
                        writer.Write(number);
                        break;
                    case float number:
                        writer.Write(6u);
                        writer.Write(number);
                        break;
                    case string text:
                        writer.Write(8u);
                        Text(writer, text);
                        break;
                    default:
                        throw new ArgumentException($"metadata {key} is a {value.GetType().Name}; uint, float and string can be written", nameof(metadata));
                }
            }

            long offset = 0;
            foreach (GgufTensor tensor in tensors)
            {
                Text(writer, tensor.Name);
                long[] dimensions = tensor.Rows == 1 ? [tensor.Width] : [tensor.Width, tensor.Rows];
                writer.Write((uint)dimensions.Length);
                Array.ForEach(dimensions, dimension => writer.Write((ulong)dimension));
                writer.Write(tensor.Type.Number);
                writer.Write((ulong)offset);
                offset += Aligned(tensor.Bytes);
            }
        }

        string unfinished = path + ".part";
        using (FileStream file = File.Create(unfinished))
        {
            file.Write(head.GetBuffer(), 0, (int)head.Length);
            file.Write(new byte[Aligned(head.Length) - head.Length]);
            ulong state = 0x9E3779B97F4A7C15;
            foreach (GgufTensor tensor in tensors)
            {
                Random(file, tensor, ref state);
                file.Write(new byte[Aligned(tensor.Bytes) - tensor.Bytes]);
            }
        }

        File.Move(unfinished, path, overwrite: true);
    }

    private static long Aligned(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private static void Text(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    /// <summary>Norms are 1. Matrices have random levels and scales such that a unit input gives an output of about 1.</summary>
    private static void Random(Stream file, GgufTensor tensor, ref ulong state)
    {
        if (tensor.Type == GgufType.F32)
        {
            float[] ones = new float[tensor.Width * tensor.Rows];
            Array.Fill(ones, 1f);
            file.Write(MemoryMarshal.AsBytes<float>(ones));
            return;
        }

        int size = tensor.Type.BlockBytes;
        double width = 1 / Math.Sqrt(tensor.Width);
        byte[] part = new byte[size * 8 * 1024];
        for (long left = tensor.Bytes; left > 0;)
        {
            Span<byte> blocks = part.AsSpan(0, (int)Math.Min(left, part.Length));
            foreach (ref ulong word in MemoryMarshal.Cast<byte, ulong>(part.AsSpan()))
            {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word = state;
            }

            for (int at = 0; at < blocks.Length; at += size)
            {
                Span<byte> block = blocks.Slice(at, size);
                if (tensor.Type == GgufType.Q4_0)
                {
                    Half(block, width / 4.6); // levels 0..15 about 8
                }
                else if (tensor.Type == GgufType.Q4K)
                {
                    Half(block, width / 170); // scales 0..63 times levels 0..15
                    Half(block[2..], width / 170 * 7.5);
                }
                else
                {
                    foreach (ref byte scale in block.Slice(192, 16))
                    {
                        scale = (byte)(8 + (scale & 7)); // signed, times levels 0..63 about 32
                    }

                    Half(block[208..], width / 215);
                }
            }

            file.Write(blocks);
            left -= blocks.Length;
        }
    }

    private static void Half(Span<byte> to, double value) => BitConverter.TryWriteBytes(to, (Half)value);
}
