using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Packing while streaming: every element in its place, padding zero, whatever pieces the rows arrive in.</summary>
public sealed class PanelTensorTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(16, 4)]
    [InlineData(15, 7)]
    [InlineData(33, 1030)]
    [InlineData(48, 2051)]
    [InlineData(5, 0)]
    public void Every_weight_lies_in_its_panel(int n, int k)
    {
        ushort[] halves = [.. Enumerable.Range(1, n * k).Select(i => (ushort)i)];
        uint[] words = [.. Enumerable.Range(1, n * k).Select(i => (uint)i * 0x10001)];

        PanelTensor wide = new(new Rows(ElementType.Float, MemoryMarshal.AsBytes<uint>(words).ToArray(), 1000, n, k));
        Assert.Equal([(n + 15) / 16, k, 16], wide.Shape);
        uint[] wideExpected = new uint[wide.ByteLength / 4];
        PanelTensor narrow = new(new Rows(ElementType.Bfloat16, MemoryMarshal.AsBytes<ushort>(halves).ToArray(), 1001, n, k));
        Assert.Equal([(n + 15) / 16, (k + 1) / 2, 16, 2], narrow.Shape);
        ushort[] narrowExpected = new ushort[narrow.ByteLength / 2];
        for (int j = 0; j < n; j++)
        {
            for (int i = 0; i < k; i++)
            {
                wideExpected[(((j / 16 * k) + i) * 16) + (j % 16)] = words[(j * k) + i];
                narrowExpected[(((((j / 16 * ((k + 1) / 2)) + (i / 2)) * 16) + (j % 16)) * 2) + (i % 2)] = halves[(j * k) + i];
            }
        }

        Assert.Equal(MemoryMarshal.AsBytes<uint>(wideExpected).ToArray(), Bytes(wide));
        Assert.Equal(MemoryMarshal.AsBytes<ushort>(narrowExpected).ToArray(), Bytes(narrow));
        Assert.Equal(n, wide.OutFeatures);
        Assert.NotEqual("rows", wide.Key);
    }

    [Fact]
    public void Only_matrices_of_float32_and_bfloat16_are_packed()
    {
        Assert.Throws<ArgumentException>(() => new PanelTensor(new Rows(ElementType.Float, new byte[32], 32, 2, 2, 2)));
        Assert.Throws<ArgumentException>(() => new PanelTensor(new Rows(ElementType.Float16, new byte[8], 8, 2, 2)));
    }

    [Fact]
    public void Packing_is_faster_than_the_hash_of_the_same_bytes()
    {
        Rows rows = new(ElementType.Float, new byte[32 << 20], 1 << 20, 2048, 4096);
        PanelTensor panels = new(rows);
        double pack = Best(() => panels.CopyTo(Stream.Null)), hash = Best(() => SHA256.HashData(rows.Data));
        output.WriteLine($"32 MiB: packed in {pack * 1000:f1} ms, hashed in {hash * 1000:f1} ms");
        Assert.True(pack < hash, $"packing took {pack * 1000:f1} ms, the hash {hash * 1000:f1} ms");

        static double Best(Action action) => Enumerable.Range(0, 6).Min(_ =>
        {
            long start = Stopwatch.GetTimestamp();
            action();
            return Stopwatch.GetElapsedTime(start).TotalSeconds;
        });
    }

    private static byte[] Bytes(TensorSource source)
    {
        using MemoryStream stream = new();
        source.CopyTo(stream);
        return stream.ToArray();
    }

    /// <summary>Rows in memory that are written in pieces of any length.</summary>
    private sealed class Rows(ElementType type, byte[] data, int piece, params long[] shape) : TensorSource("rows", type, shape)
    {
        public byte[] Data => data;

        public override void CopyTo(Stream destination)
        {
            for (int at = 0; at < data.Length; at += piece)
            {
                destination.Write(data.AsSpan(at, Math.Min(piece, data.Length - at)));
            }
        }
    }
}
