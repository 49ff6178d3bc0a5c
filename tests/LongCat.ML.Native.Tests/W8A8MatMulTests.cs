using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Onnx.Tests;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The head's product and the embedding over the same 8-bit table, inside ONNX Runtime, bit for bit against plain C#.</summary>
[Collection(KernelPath.Collection)]
public sealed class W8A8MatMulTests(ITestOutputHelper output)
{
    private static readonly (string, ElementType)[] s_output = [("Y", ElementType.Float)];

    public static TheoryData<string> Paths => [.. KernelPath.Supported];

    [Theory]
    [MemberData(nameof(Paths))]
    public void Equals_the_int8_reference_bit_for_bit(string path)
    {
        using KernelPath forced = new(path);
        Random random = new(31);
        foreach ((int n, int k) in new[] { (1, 1), (64, 128), (65, 130), (200, 333), (17, 1031) })
        {
            sbyte[] levels = Levels(random, n * k);
            float[] scales = random.Floats(n, 0.01f), bias = random.Floats(n, 1);
            foreach (int bits in new[] { 8, 16 })
            {
                foreach (int m in new[] { 0, 1, 3, 8, 17 })
                {
                    float[] x = random.Floats(m * k, 3);
                    if (m > 2)
                    {
                        Array.Clear(x, k, k);
                        x[2 * k] = float.PositiveInfinity;
                    }

                    bool hasBias = random.Next(2) == 0;
                    Feed?[] inputs = [new("A", x, m, k), Pack(levels, n, k), new("scale", scales, n), hasBias ? new("bias", bias, n) : null];
                    using OperatorSession session = new("W8A8MatMul", inputs, s_output, Attributes(n, k, NodeAttribute.Int("activation_bits", bits)));
                    W4A8MatMulTests.AssertBits(Reference(x, levels, scales, hasBias ? bias : null, n, k, bits), session.Run(inputs, out IReadOnlyList<long> shape));
                    Assert.Equal([m, n], shape);
                }
            }
        }
    }

    [Fact]
    public void Sixteen_bits_are_two_hundred_times_nearer_to_the_float_product()
    {
        Random random = new(32);
        const int M = 4, N = 64, K = 512;
        sbyte[] levels = Levels(random, N * K);
        float[] x = random.Floats(M * K, 1), scales = random.Floats(N, 0.01f);
        double[] exact = [.. Enumerable.Range(0, M * N).Select(at => Enumerable.Range(0, K).Sum(i => (double)x[(at / N * K) + i] * levels[(at % N * K) + i]) * scales[at % N])];
        double Error(int bits)
        {
            Feed?[] inputs = [new("A", x, M, K), Pack(levels, N, K), new("scale", scales, N)];
            using OperatorSession session = new("W8A8MatMul", inputs, s_output, Attributes(N, K, NodeAttribute.Int("activation_bits", bits)));
            return Math.Sqrt(session.Run(inputs).Zip(exact, (got, want) => (got - want) * (got - want)).Sum() / exact.Sum(want => want * want));
        }

        (double eight, double sixteen) = (Error(8), Error(16));
        output.WriteLine($"relative error with 8-bit activations {eight:g3}, with 16-bit ones {sixteen:g3}");

        // A step of 1/127 and of 1/32512 of the largest, rounding errors uniform within: 1 / 127 / sqrt(12) over a root mean square of 1 / sqrt(3).
        Assert.InRange(eight, 0.002, 0.008);
        Assert.InRange(sixteen, 0, eight / 200);
    }

    [Fact]
    public void The_embedding_reads_the_same_table()
    {
        Random random = new(33);
        foreach ((int rows, int hidden) in new[] { (1, 1), (70, 30), (128, 256), (200, 1027) })
        {
            sbyte[] levels = Levels(random, rows * hidden);
            float[] scales = random.Floats(rows, 0.01f);
            foreach (int tokens in new[] { 0, 1, 9, 300 })
            {
                long[] ids = [.. Enumerable.Range(0, tokens).Select(_ => (long)random.Next(rows))];
                Feed?[] inputs = [new("ids", ids, tokens), Pack(levels, rows, hidden), new("scale", scales, rows)];
                using OperatorSession session = new("Int8Embedding", inputs, s_output, Attributes(rows, hidden));
                float[] want = [.. ids.SelectMany(id => Enumerable.Range(0, hidden).Select(i => levels[(id * hidden) + i] * scales[id]))];
                W4A8MatMulTests.AssertBits(want, session.Run(inputs, out IReadOnlyList<long> shape));
                Assert.Equal([tokens, hidden], shape);
            }
        }
    }

    [Fact]
    public void A_token_outside_the_table_is_named()
    {
        Feed?[] inputs = [new("ids", new long[] { 3, 70 }, 2), Pack(new sbyte[70 * 8], 70, 8), new("scale", new float[70], 70)];
        using OperatorSession session = new("Int8Embedding", inputs, s_output, Attributes(70, 8));
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("longcat::Int8Embedding 'Y': ids[1] is token 70, expected 0..69 (the rows of the table)", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("W8A8MatMul", "in_features", 131_001L, "attribute in_features is 131001: sums of so many products do not fit 32 bits, expected at most 131000")]
    [InlineData("W8A8MatMul", "activation_bits", 4L, "attribute activation_bits is 4, expected 8 or 16")]
    [InlineData("W8A8MatMul", "layout", 0L, "attribute layout is 0, expected 1")]
    [InlineData("W8A8MatMul", "out_features", 0L, "attribute out_features is 0, expected 1..")]
    [InlineData("Int8Embedding", "layout", 2L, "attribute layout is 2, expected 1")]
    [InlineData("Int8Embedding", "in_features", -1L, "attribute in_features is -1, expected 1..")]
    public void A_wrong_attribute_is_refused_when_the_session_is_made(string type, string name, long value, string expected)
    {
        Feed[] inputs =
        [
            type == "W8A8MatMul" ? new("A", new float[8], 1, 8) : new("ids", new long[1], 1), Pack(new sbyte[64 * 8], 64, 8), new("scale", new float[64], 64),
        ];
        AttributeProto[] attributes = [.. Attributes(64, 8).Where(attribute => attribute.Name != name), NodeAttribute.Int(name, value)];
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => new OperatorSession(type, inputs, s_output, attributes).Dispose());
        Assert.Contains($"longcat::{type} 'Y': {expected}", error.Message, StringComparison.Ordinal);
    }

    internal static AttributeProto[] Attributes(int n, int k, params AttributeProto[] more) =>
        [NodeAttribute.Int("in_features", k), NodeAttribute.Int("out_features", n), NodeAttribute.Int("layout", 1), .. more];

    internal static sbyte[] Levels(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (sbyte)random.Next(-127, 128))];

    /// <summary>[panels, steps of four k, 64, 4] bytes q + 128, value by value.</summary>
    internal static Feed Pack(sbyte[] levels, int n, int k)
    {
        int panels = (n + 63) / 64, steps = (k + 3) / 4;
        byte[] packed = new byte[panels * steps * 256];
        Array.Fill(packed, (byte)128);
        for (int row = 0; row < n; row++)
        {
            for (int i = 0; i < k; i++)
            {
                packed[(((((row / 64 * steps) + (i / 4)) * 64) + (row % 64)) * 4) + (i % 4)] = (byte)(levels[(row * k) + i] + 128);
            }
        }

        return new Feed("B", packed, panels, steps, 64, 4);
    }

    private static float[] Reference(float[] x, sbyte[] levels, float[] scales, float[]? bias, int n, int k, int bits)
    {
        float most = bits == 8 ? 127 : 32512;
        int m = x.Length / k;
        float[] y = new float[m * n];
        for (int row = 0; row < m; row++)
        {
            float[] values = x[(row * k)..((row + 1) * k)];
            float largest = values.Max(MathF.Abs), scale = largest / most, inverse = largest > 0 ? most / largest : 0;
            long[] a = [.. values.Select(value => float.IsFinite(value) ? (long)Math.Clamp(MathF.Round(value * inverse, MidpointRounding.ToEven), -most, most) : 0)];
            bool finite = values.All(float.IsFinite);
            for (int column = 0; column < n; column++)
            {
                long total = 0;
                for (int i = 0; i < k; i++)
                {
                    total += a[i] * levels[(column * k) + i];
                }

                float value = finite ? total * (scale * scales[column]) : float.NaN;
                y[(row * n) + column] = bias is null ? value : value + bias[column];
            }
        }

        return y;
    }
}
