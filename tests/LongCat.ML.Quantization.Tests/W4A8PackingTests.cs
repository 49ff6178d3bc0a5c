namespace LongCat.ML.Quantization.Tests;

/// <summary>The packing against an unpacker written from the text of kernels/include/longcat/w4a8_matmul.h alone.</summary>
public sealed class W4A8PackingTests
{
    [Theory]
    [InlineData(64, 128, 32, 1)]
    [InlineData(65, 128, 128, 1)]
    [InlineData(1, 1, 32, 1)]
    [InlineData(7, 9, 32, 2)]
    [InlineData(130, 100, 64, 2)]
    [InlineData(63, 77, 0, 0)]
    [InlineData(200, 264, 256, 1)]
    public void Unpacks_to_what_was_packed(int n, int k, int group, int scaleBytes)
    {
        Random random = new(n + k);
        int groups = group == 0 ? 1 : (k + group - 1) / group;
        sbyte[] levels = [.. Enumerable.Range(0, n * k).Select(_ => (sbyte)random.Next(-8, 8))];
        short[]? groupScales = group == 0 ? null : [.. Enumerable.Range(0, n * groups).Select(_ => (short)((random.Next(2) == 0 ? 1 : -1) * random.Next(1, scaleBytes == 1 ? 128 : 20_000)))];
        byte[] packed = Pack(new QuantizedMatrix(n, k, group, scaleBytes, levels, groupScales, new float[n], 0, Samples.Report));

        Assert.Equal(W4A8Packing.PackedBytes(n, k, group, scaleBytes), packed.Length);
        int length = group == 0 ? k : group, panel = packed.Length / ((n + 63) / 64);
        for (int row = 0; row < (n + 63) / 64 * 64; row++)
        {
            int at = row / 64 * panel;
            for (int g = 0; g < groups; g++)
            {
                int inGroup = Math.Min(length, k - (g * length)), steps = (inGroup + 7) / 8;
                for (int i = 0; i < steps * 8; i++)
                {
                    int lane = packed[at + (i / 8 * 256) + (row % 64 * 4) + (i % 4)];
                    int level = (i % 8 < 4 ? lane & 15 : lane >> 4) - 8;
                    Assert.Equal(row < n && i < inGroup ? levels[(row * k) + (g * length) + i] : 0, level);
                }

                at += steps * 256;
                int scale = scaleBytes switch
                {
                    0 => 1,
                    1 => (sbyte)packed[at + (row % 64)],
                    _ => (short)(packed[at + (row % 64 * 2)] + (256 * packed[at + (row % 64 * 2) + 1])),
                };
                Assert.Equal(groupScales is null ? 1 : row < n ? groupScales[(row * groups) + g] : 0, scale);
                at += scaleBytes * 64;
            }
        }
    }

    [Fact]
    public void The_bound_is_that_of_the_worst_row_with_a_short_last_group()
    {
        Assert.Equal(1016L * ((32 * 3) + (32 * 5) + (6 * 127)), W4A8Packing.Bound(2, 70, 32, [1, 2, 100, -3, 5, -127]));
        Assert.Equal(1016L * 70, W4A8Packing.Bound(2, 70, 0, []));
    }

    [Fact]
    public void Sums_that_could_overflow_are_refused_with_the_numbers()
    {
        const int k = 16_672;
        short[] scales = [.. Enumerable.Repeat((short)127, k / 32)];
        QuantizedMatrix matrix = new(1, k, 32, 1, new sbyte[k], scales, [1], 0, Samples.Report);
        string message = Assert.Throws<QuantizationException>(() => W4A8Packing.Pack(matrix, new MemoryStream())).Message;
        Assert.Contains("16672 inputs and group scales up to 127", message, StringComparison.Ordinal);
        Assert.Contains($"{1016L * k * 127}", message, StringComparison.Ordinal);

        scales[0] = 1;
        Assert.Equal(1016L * ((127L * (k - 32)) + 32), W4A8Packing.Bound(1, k, 32, scales));
        W4A8Packing.Pack(matrix, new MemoryStream());
    }

    internal static byte[] Pack(QuantizedMatrix matrix)
    {
        using MemoryStream stream = new();
        W4A8Packing.Pack(matrix, stream);
        return stream.ToArray();
    }
}
