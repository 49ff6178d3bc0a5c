using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Onnx.Tests;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>RmsNormQuantize and SiluMulQuantize inside ONNX Runtime, on every path of the kernels.</summary>
[Collection(KernelPath.Collection)]
public sealed class QuantizingOperatorTests(ITestOutputHelper output)
{
    private static readonly (string, ElementType)[] s_rows = [("y", ElementType.Int8), ("y_scale", ElementType.Float), ("y_sums", ElementType.Int32)];

    public static TheoryData<string> Paths => [.. KernelPath.Supported];

    [Theory]
    [MemberData(nameof(Paths))]
    public void A_norm_is_quantized_like_any_row(string path)
    {
        using KernelPath forced = new(path);
        Random random = new(11);
        float most = 0;
        foreach ((int m, int k, int group) in new[] { (1, 1, 0), (3, 64, 32), (5, 136, 128), (2, 333, 64), (1, 1031, 0), (70, 1100, 128), (0, 24, 8) })
        {
            float[] x = random.Floats(m * k, 3), skip = random.Floats(m * k, 2), weight = random.Floats(k, 2);
            if (m > 2)
            {
                Array.Clear(x, k, k);
                Array.Clear(skip, k, k);
                x[2 * k] = float.NegativeInfinity;
            }

            float staticScale = random.Next(3) == 0 ? 0.03f : 0;
            Feed?[] inputs = [new("x", x, m, k), new("weight", weight, k), new("skip", skip, m, k)];
            using OperatorSession session = new(
                "RmsNormQuantize", inputs, [.. s_rows, ("normed", ElementType.Float), ("sum", ElementType.Float)],
                [NodeAttribute.Float("epsilon", 1e-6), NodeAttribute.Int("group_size", group), NodeAttribute.Float("activation_scale", staticScale)]);
            IReadOnlyDictionary<string, Array> got = session.RunAll(inputs);
            float[] sum = [.. x.Zip(skip, (a, b) => a + b)], normed = (float[])got["normed"];
            W4A8MatMulTests.AssertBits(sum, (float[])got["sum"]);

            // The integers are those of the norm that came out, bit for bit; the norm itself is within float32 rounding.
            AssertRows(Int8Reference.Quantize(normed, k, group == 0 ? k : group, staticScale), got);
            for (int row = 0; row < m; row++)
            {
                double factor = 1 / Math.Sqrt((sum.Skip(row * k).Take(k).Sum(z => (double)z * z) / k) + 1e-6f);
                for (int i = 0; i < k; i++)
                {
                    double want = row == 2 && m > 2 ? double.NaN : sum[(row * k) + i] * (double)weight[i] * factor;
                    float value = normed[(row * k) + i], difference = (float)(Math.Abs(want - value) / (1e-30 + Math.Abs(want)));
                    Assert.True(double.IsNaN(want) ? float.IsNaN(value) : difference <= 2e-6f, $"row {row}, {i}: {value}, expected {want}");
                    most = double.IsNaN(want) ? most : MathF.Max(most, difference);
                }
            }

            // The same without what is optional, no skip and no float outputs, and with a weight that never changes.
            Feed?[] fewer = [new("x", sum, m, k), inputs[1]];
            using OperatorSession plain = new("RmsNormQuantize", fewer, ["weight"], s_rows, [ NodeAttribute.Float("epsilon", 1e-6), NodeAttribute.Int("group_size", group), NodeAttribute.Float("activation_scale", staticScale)]);
            IReadOnlyDictionary<string, Array> less = plain.RunAll(fewer);
            Assert.Equal(got["y"], less["y"]);
            W4A8MatMulTests.AssertBits((float[])got["y_scale"], (float[])less["y_scale"]);
            Assert.Equal(got["y_sums"], less["y_sums"]);
        }

        output.WriteLine($"{path}: the norm differs from one in double precision by {most:g3} of its value at most (allowed 2e-6: a few roundings)");
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Silu_times_up_is_quantized(string path)
    {
        using KernelPath forced = new(path);
        Random random = new(12);
        int steps = 0, count = 0;
        foreach ((int m, int k, int group) in new[] { (1, 1, 0), (3, 64, 32), (5, 136, 128), (2, 333, 64), (1, 1031, 0), (70, 1100, 128), (0, 24, 8) })
        {
            float[] gate = random.Floats(m * k, 8), up = random.Floats(m * k, 2);
            if (m > 2)
            {
                Array.Clear(up, k, k);
                gate[2 * k] = float.NaN;
            }

            float staticScale = random.Next(3) == 0 ? 0.03f : 0;
            Feed?[] inputs = [new("gate", gate, m, k), new("up", up, m, k)];
            using OperatorSession session = new("SiluMulQuantize", inputs, s_rows, NodeAttribute.Int("group_size", group), NodeAttribute.Float("activation_scale", staticScale));
            IReadOnlyDictionary<string, Array> got = session.RunAll(inputs);
            float[] product = [.. gate.Zip(up, (g, u) => (float)(g / (1 + Math.Exp(-(double)g)) * u))];
            Int8Reference.Rows want = Int8Reference.Quantize(product, k, group == 0 ? k : group, staticScale);
            sbyte[] values = (sbyte[])got["y"];
            float[] scales = (float[])got["y_scale"];
            for (int i = 0; i < values.Length; i++)
            {
                // Exponentials differ in the last places: an integer on the edge between two may go either way.
                int step = Math.Abs(values[i] - want.Values[i]);
                Assert.True(step <= 1, $"[{i}] is {values[i]}, expected {want.Values[i]}");
                steps += step;
                count++;
            }

            Assert.All(scales.Zip(want.Scales), pair => Assert.True(
                float.IsNaN(pair.Second) ? float.IsNaN(pair.First) : MathF.Abs(pair.First - pair.Second) <= 2e-6f * pair.Second, $"{pair}"));
            Assert.Equal(Sums(values, k, group == 0 ? k : group), (int[])got["y_sums"]);
        }

        output.WriteLine($"{path}: {steps} of {count} integers differ by one");
        Assert.True(steps <= count / 1000, $"{steps} of {count} integers differ by one");
    }

    [Fact]
    public void Quantized_rows_feed_the_product_as_floats_do()
    {
        // SiluMulQuantize, then W4A8MatMul over its three outputs: what W4A8MatMul makes of the same floats.
        Random random = new(13);
        const int M = 6, K = 200, N = 70;
        Int8Reference.Weights weights = Int8Reference.Weights.Random(random, N, K, 64, 1);
        float[] x = random.Floats(M * K, 2);
        Feed?[] norm = [new("x", x, M, K), new("weight", random.Floats(K, 1), K)];
        using OperatorSession session = new(
            "RmsNormQuantize", norm, [.. s_rows, ("normed", ElementType.Float)], NodeAttribute.Float("epsilon", 1e-5), NodeAttribute.Int("group_size", 64));
        IReadOnlyDictionary<string, Array> rows = session.RunAll(norm);
        Feed?[] floats = W4A8MatMulTests.Inputs(new("A", rows["normed"], M, K), null, null, weights, null, null, [M]);
        Feed?[] quantized = W4A8MatMulTests.Inputs(
            new("A", rows["y"], M, K), new("a_scale", rows["y_scale"], M), new("a_sums", rows["y_sums"], M, 4), weights, null, null, [M]);
        AttributeProto[] attributes = W4A8MatMulTests.Attributes(weights, 0);
        using OperatorSession first = new("W4A8MatMul", floats, [("Y", ElementType.Float)], attributes), second = new("W4A8MatMul", quantized, [("Y", ElementType.Float)], attributes);
        W4A8MatMulTests.AssertBits(first.Run(floats), second.Run(quantized));
    }

    [Theory]
    [InlineData("RmsNormQuantize", "epsilon", null, "attribute epsilon is missing")]
    [InlineData("RmsNormQuantize", "epsilon", -1.0, "attribute epsilon is -1, expected 0 or more")]
    [InlineData("RmsNormQuantize", "group_size", 12L, "attribute group_size is 12, expected 0 (one group) or a multiple of 8")]
    [InlineData("SiluMulQuantize", "group_size", -8L, "attribute group_size is -8")]
    [InlineData("SiluMulQuantize", "activation_scale", double.PositiveInfinity, "attribute activation_scale is inf, expected")]
    [InlineData("SiluMulQuantize", "activation_scale", 1e-35, "attribute activation_scale is 1e-35, expected a number of at least 2^-100")]
    public void A_wrong_attribute_is_refused_when_the_session_is_made(string type, string name, object? value, string expected)
    {
        Feed[] inputs = type == "RmsNormQuantize" ? [new("x", new float[8], 1, 8), new("weight", new float[8], 8)] : [new("gate", new float[8], 1, 8), new("up", new float[8], 1, 8)];
        AttributeProto[] attributes =
        [
            .. type == "RmsNormQuantize" && name != "epsilon" ? [NodeAttribute.Float("epsilon", 1e-6)] : Array.Empty<AttributeProto>(),
            .. value switch
            {
                long number => [NodeAttribute.Int(name, number)],
                double number => [NodeAttribute.Float(name, number)],
                _ => Array.Empty<AttributeProto>(),
            },
        ];
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => new OperatorSession(type, inputs, s_rows, attributes).Dispose());
        Assert.Contains($"longcat::{type} 'y': {expected}", error.Message, StringComparison.Ordinal);
    }

    private static void AssertRows(Int8Reference.Rows want, IReadOnlyDictionary<string, Array> got)
    {
        Assert.Equal(want.Values, (sbyte[])got["y"]);
        W4A8MatMulTests.AssertBits(want.Scales, (float[])got["y_scale"]);
        Assert.Equal(want.Sums, (int[])got["y_sums"]);
    }

    private static int[] Sums(sbyte[] values, int k, int group) =>
        [.. values.Chunk(k).SelectMany(row => row.Chunk(group)).Select(part => part.Sum(value => value))];
}
