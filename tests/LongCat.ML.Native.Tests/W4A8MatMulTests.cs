using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Onnx.Tests;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The operator inside ONNX Runtime, bit for bit against an int8 product written in C#, on every path of the kernels.</summary>
[Collection(KernelPath.Collection)]
public sealed class W4A8MatMulTests(ITestOutputHelper output)
{
    private static readonly (string, ElementType)[] s_output = [("Y", ElementType.Float)];

    public static TheoryData<string> Paths => [.. KernelPath.Supported];

    [Theory]
    [MemberData(nameof(Paths))]
    public void Equals_the_int8_reference_bit_for_bit(string path)
    {
        using KernelPath forced = new(path);
        Random random = new(4);
        (int N, int K, int Group, int Bytes)[] matrices =
            [(1, 1, 0, 0), (64, 128, 32, 1), (65, 136, 128, 2), (130, 333, 64, 1), (17, 1031, 0, 0), (200, 8, 8, 1), (96, 256, 0, 1)];
        foreach ((int n, int k, int group, int bytes) in matrices)
        {
            Int8Reference.Weights weights = Int8Reference.Weights.Random(random, n, k, group, bytes);
            foreach (int m in new[] { 0, 1, 2, 3, 5, 8, 17, 45 })  // all of 1..17: the tests of the kernels
            {
                float[] x = random.Floats(m * k, 3), bias = random.Floats(n, 1), residual = random.Floats(m * n, 1);
                if (m > 2)
                {
                    Array.Clear(x, k, k);  // a row of zeros
                    x[2 * k] = float.NaN;
                }

                bool hasBias = random.Next(2) == 0, hasResidual = random.Next(2) == 0, three = random.Next(2) == 0;
                float staticScale = random.Next(4) == 0 ? 0.02f : 0;
                Int8Reference.Rows rows = Int8Reference.Quantize(x, k, weights.Group, staticScale);
                float[] want = Int8Reference.Multiply(rows, weights, hasBias ? bias : null, hasResidual ? residual : null);

                long[] leading = three ? [m, 1] : [m];
                Feed?[] floats = Inputs(new("A", x, [.. leading, k]), null, null, weights, hasBias ? bias : null, hasResidual ? residual : null, leading);
                Feed?[] quantized = Inputs(
                    new("A", rows.Values, [.. leading, k]), new("a_scale", rows.Scales, m), new("a_sums", rows.Sums, m, weights.Groups), weights,
                    hasBias ? bias : null, hasResidual ? residual : null, leading);
                using OperatorSession first = Open(floats, weights, staticScale), second = Open(quantized, weights);
                AssertBits(want, first.Run(floats, out IReadOnlyList<long> shape));
                Assert.Equal([.. leading, n], shape);
                AssertBits(want, second.Run(quantized));
            }
        }
    }

    [Fact]
    public void Activations_are_8_bits_wide()
    {
        // Inputs that differ by less than half a step of their scale give the same bits, and neither gives the float product.
        Random random = new(5);
        const int M = 3, N = 70, K = 256;
        Int8Reference.Weights weights = Int8Reference.Weights.Random(random, N, K, 128, 1);
        float[] coarse = [.. Enumerable.Range(0, M * K).Select(i => i % K == 0 ? 127f : random.Next(-126, 127))];
        float[] fine = [.. coarse.Select((x, i) => i % K == 0 ? x : x + ((random.NextSingle() - 0.5f) * 0.9f))];
        Feed?[] first = Inputs(new("A", coarse, M, K), null, null, weights, null, null, [M]), second = Inputs(new("A", fine, M, K), null, null, weights, null, null, [M]);
        using OperatorSession session = Open(first, weights);
        float[] y = session.Run(first);
        AssertBits(y, session.Run(second));

        double most = 0;
        for (int row = 0; row < M; row++)
        {
            for (int n = 0; n < N; n++)
            {
                double exact = Enumerable.Range(0, K).Sum(i =>
                    (double)fine[(row * K) + i] * weights.Levels[(n * K) + i] * weights.GroupScales![(n * 2) + (i / 128)] * weights.Scales[n]);
                most = Math.Max(most, Math.Abs(exact - y[(row * N) + n]) / (1 + Math.Abs(exact)));
            }
        }

        output.WriteLine($"the float product differs by up to {most:g3} of 1 + |y|: far more than float rounding");
        Assert.True(most > 1e-3, $"the float product differs by {most} only: this proves nothing");
    }

    [Theory]
    [InlineData("B", "scale", "bias")]
    [InlineData("B")]
    [InlineData("bias", "residual")]
    public void Weights_that_never_change_give_what_fed_ones_give(params string[] constants)
    {
        Random random = new(9);
        Int8Reference.Weights weights = Int8Reference.Weights.Random(random, 70, 136, 64, 1);
        float[] bias = random.Floats(70, 1), residual = random.Floats(140, 1);
        for (int round = 0; round < 3; round++)
        {
            float[] x = random.Floats(2 * 136, 1);
            Feed?[] inputs = Inputs(new("A", x, 2, 136), null, null, weights, bias, residual, [2]);
            using OperatorSession session = new("W4A8MatMul", inputs, constants, s_output, Attributes(weights, 0));
            float[] want = Int8Reference.Multiply(Int8Reference.Quantize(x, 136, 64), weights, bias, residual);
            AssertBits(want, session.Run(inputs));
            AssertBits(want, session.Run(inputs));
        }
    }

    [Theory]
    [InlineData("B", "input 3 (B) has shape [1, 2176], expected [2, 2176]")]
    [InlineData("scale", "input 4 (scale) has shape [64], expected [70]")]
    [InlineData("bias", "input 5 (bias) has shape [64], expected [70]")]
    public void A_weight_of_another_shape_that_never_changes_is_refused_when_the_session_is_made(string name, string expected)
    {
        Int8Reference.Weights weights = Int8Reference.Weights.Random(new(10), 70, 64, 32, 1), other = weights with { OutFeatures = 64 };
        Feed?[] inputs = Inputs(new("A", new float[64], 1, 64), null, null, weights, new float[70], null, [1]);
        Feed?[] wrong = Inputs(new("A", new float[64], 1, 64), null, null, other with { Scales = other.Scales[..64] }, new float[64], null, [1]);
        inputs = [.. inputs.Zip(wrong, (right, spoiled) => right?.Name == name ? spoiled : right)];
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => new OperatorSession("W4A8MatMul", inputs, [name], s_output, Attributes(weights, 0)).Dispose());
        Assert.Contains("longcat::W4A8MatMul 'Y': " + expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void No_rows_give_no_rows()
    {
        Int8Reference.Weights weights = Int8Reference.Weights.Random(new(6), 5, 16, 0, 0);
        Feed?[] inputs = Inputs(new("A", Array.Empty<sbyte>(), 0, 16), new("a_scale", Array.Empty<float>(), 0), new("a_sums", Array.Empty<int>(), 0, 1), weights, null, null, [0]);
        using OperatorSession session = Open(inputs, weights);
        Assert.Empty(session.Run(inputs, out IReadOnlyList<long> shape));
        Assert.Equal([0L, 5L], shape);
    }

    [Theory]
    [InlineData("in_features", 0L, "attribute in_features is 0, expected 1..")]
    [InlineData("in_features", 3_000_000L, "attribute in_features is 3000000: sums of so many products (up to 3048000000) do not fit 32 bits")]
    [InlineData("in_features", 20_000_000L, "attribute in_features is 20000000, expected 1..16777216")]
    [InlineData("out_features", null, "attribute out_features is missing")]
    [InlineData("group_size", 20L, "attribute group_size is 20, expected 0 (one group) or a multiple of 8")]
    [InlineData("group_size", -32L, "attribute group_size is -32")]
    [InlineData("group_size", 32L, "attribute group_scale_bytes is 0 with group_size 32, expected 1 or 2")]
    [InlineData("group_scale_bytes", 4L, "attribute group_scale_bytes is 4, expected 0 or 1 or 2")]
    [InlineData("layout", 2L, "attribute layout is 2, expected 1")]
    [InlineData("activation_scale", -0.5, "attribute activation_scale is -0.5, expected a number of at least 2^-100, or 0")]
    [InlineData("activation_scale", 1L, "attribute activation_scale is not a float")]
    public void A_wrong_attribute_is_refused_when_the_session_is_made(string name, object? value, string expected)
    {
        Int8Reference.Weights weights = Int8Reference.Weights.Random(new(7), 5, 64, 0, 0);
        Feed?[] inputs = Inputs(new("A", new float[64], 1, 64), null, null, weights, null, null, [1]);
        AttributeProto[] attributes =
        [
            .. Attributes(weights, 0).Where(attribute => attribute.Name != name),
            .. value switch
            {
                long number => [NodeAttribute.Int(name, number)],
                double number => [NodeAttribute.Float(name, number)],
                _ => Array.Empty<AttributeProto>(),
            },
        ];
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => new OperatorSession("W4A8MatMul", inputs, s_output, attributes).Dispose());
        Assert.Contains("longcat::W4A8MatMul 'Y': " + expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Quantized_rows_come_with_their_scales_and_sums_and_floats_without()
    {
        Int8Reference.Weights weights = Int8Reference.Weights.Random(new(8), 5, 64, 32, 1);
        Feed floats = new("A", new float[64], 1, 64), bytes = new("A", new sbyte[64], 1, 64), other = new("A", new long[64], 1, 64);
        Feed scale = new("a_scale", new float[1], 1), sums = new("a_sums", new int[2], 1, 2);
        Expect([floats, scale, sums], 0, "input 0 (A) is float32, expected int8 with inputs 1 (a_scale) and 2 (a_sums)");
        Expect([bytes, null, sums], 0, "input 1 (a_scale) is missing");
        Expect([bytes, scale, null], 0, "input 2 (a_sums) is missing");
        Expect([bytes, scale, sums], 0.5f, "input 0 (A) is int8, expected float32 with attribute activation_scale 0.5");
        Expect([other, null, null], 0, "input 0 (A) is int64, expected float32 or int8");

        void Expect(Feed?[] a, float staticScale, string expected)
        {
            Feed?[] inputs = Inputs(a[0]!, a[1], a[2], weights, null, null, [1]);
            using OperatorSession session = Open(inputs, weights, staticScale);
            OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
            Assert.Contains("longcat::W4A8MatMul 'Y': " + expected, error.Message, StringComparison.Ordinal);
        }
    }

    internal static AttributeProto[] Attributes(Int8Reference.Weights weights, float staticScale) =>
    [
        NodeAttribute.Int("in_features", weights.InFeatures), NodeAttribute.Int("out_features", weights.OutFeatures),
        NodeAttribute.Int("group_size", weights.GroupSize), NodeAttribute.Int("group_scale_bytes", weights.GroupScaleBytes), NodeAttribute.Int("layout", 1),
        NodeAttribute.Float("activation_scale", staticScale),
    ];

    internal static Feed?[] Inputs(Feed a, Feed? scale, Feed? sums, Int8Reference.Weights weights, float[]? bias, float[]? residual, long[] leading) =>
    [
        a, scale, sums, weights.Pack(), new("scale", weights.Scales, weights.OutFeatures), bias is null ? null : new("bias", bias, weights.OutFeatures),
        residual is null ? null : new("residual", residual, [.. leading, weights.OutFeatures]),
    ];

    internal static void AssertBits(float[] want, float[] got)
    {
        Assert.Equal(want.Length, got.Length);
        for (int i = 0; i < want.Length; i++)
        {
            // NaN is NaN, whatever its sign.
            bool same = BitConverter.SingleToUInt32Bits(want[i]) == BitConverter.SingleToUInt32Bits(got[i]) || (float.IsNaN(want[i]) && float.IsNaN(got[i]));
            Assert.True(same, $"[{i}] is {got[i]:r}, expected {want[i]:r}");
        }
    }

    private static OperatorSession Open(Feed?[] inputs, Int8Reference.Weights weights, float staticScale = 0) =>
        new("W4A8MatMul", inputs, s_output, Attributes(weights, staticScale));
}
