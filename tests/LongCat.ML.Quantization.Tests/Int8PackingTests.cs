namespace LongCat.ML.Quantization.Tests;

public sealed class Int8PackingTests
{
    [Theory]
    [InlineData(64, 64)]
    [InlineData(65, 7)]
    [InlineData(1, 1)]
    [InlineData(200, 130)]
    public void Panels_unpack_to_what_was_packed(int n, int k)
    {
        QuantizedInt8Matrix matrix = Random(n, k);
        using MemoryStream stream = new();
        Int8Packing.Pack(matrix, stream);
        byte[] packed = stream.ToArray();
        int panels = (n + 63) / 64, steps = (k + 3) / 4;
        Assert.Equal(Int8Packing.PackedBytes(n, k), packed.Length);
        Assert.Equal(panels * steps * 256, packed.Length);
        for (int row = 0; row < panels * 64; row++)
        {
            for (int i = 0; i < steps * 4; i++)
            {
                int level = packed[(((((row / 64) * steps) + (i / 4)) * 64) + (row % 64)) * 4 + (i % 4)] - 128;
                Assert.Equal(row < n && i < k ? matrix.Levels[(row * k) + i] : 0, level);
            }
        }
    }

    [Fact]
    public void Whole_panels_may_come_one_after_another()
    {
        QuantizedInt8Matrix whole = Random(150, 20);
        using MemoryStream once = new(), twice = new();
        Int8Packing.Pack(whole, once);
        Int8Packing.Pack(new QuantizedInt8Matrix(128, 20, whole.Levels[..(128 * 20)], whole.Scales[..128]), twice);
        Int8Packing.Pack(new QuantizedInt8Matrix(22, 20, whole.Levels[(128 * 20)..], whole.Scales[128..]), twice);
        Assert.Equal(once.ToArray(), twice.ToArray());
    }

    [Fact]
    public void A_table_s_rows_carry_their_scales()
    {
        QuantizedInt8Matrix table = Random(5, 9);
        using MemoryStream stream = new();
        Int8Packing.PackTable(table, stream);
        byte[] packed = stream.ToArray();
        Assert.Equal(Int8Packing.TableBytes(5, 9), packed.Length);
        for (int row = 0; row < 5; row++)
        {
            Assert.Equal(table.Levels[(row * 9)..((row + 1) * 9)], packed[(row * 13)..((row * 13) + 9)].Select(value => (sbyte)value));
            Assert.Equal(table.Scales[row], BitConverter.ToSingle(packed, (row * 13) + 9));
        }
    }

    [Fact]
    public void Eight_bits_are_near_and_clipping_makes_them_nearer()
    {
        const int n = 40, k = 512;
        Random random = new(5);
        float[] weights = [.. Enumerable.Range(0, n * k).Select(i => (float)(0.02 * Samples.Normal(random) * (random.NextDouble() < 0.002 ? 4 : 1)))];
        Array.Clear(weights, k, k);
        double Error(WeightClipping clipping) => Samples.Relative(weights, new MatrixQuantizer(new() { Recipe = QuantizationRecipe.RoundToNearest, Clipping = clipping }, null).QuantizeInt8("w", weights, n, k).Dequantize());
        double plain = Error(WeightClipping.None), grid = Error(WeightClipping.Grid);
        Assert.True(grid <= plain && plain < 0.02, $"{grid}, {plain}");
    }

    [Fact]
    public void Too_many_inputs_are_refused_with_the_numbers()
    {
        string message = Assert.Throws<QuantizationException>(() => Int8Packing.Pack(new QuantizedInt8Matrix(1, 140_000, new sbyte[140_000], [1]), new MemoryStream())).Message;
        Assert.Contains("140000 inputs", message, StringComparison.Ordinal);
    }

    private static QuantizedInt8Matrix Random(int n, int k)
    {
        Random random = new((n * 1000) + k);
        return new(n, k, [.. Enumerable.Range(0, n * k).Select(_ => (sbyte)random.Next(-127, 128))], [.. Enumerable.Range(0, n).Select(_ => random.NextSingle())]);
    }
}
