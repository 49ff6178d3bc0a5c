using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Onnx.Tests;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The operator with 4-bit experts inside ONNX Runtime, against int8 products written in C#, on every path of the kernels.</summary>
[Collection(KernelPath.Collection)]
public sealed class W4A8ExpertMixtureTests(ITestOutputHelper output)
{
    private static readonly (string, ElementType)[] s_outputs = [("y", ElementType.Float), ("selected", ElementType.Int32), ("inner", ElementType.Float)];

    public static TheoryData<string> Paths => [.. KernelPath.Supported];

    [Theory]
    [MemberData(nameof(Paths))]
    public void Products_are_those_of_8_bit_activations_and_4_bit_weights(string path)
    {
        using KernelPath forced = new(path);
        Random random = new(12);
        double most = 0;
        foreach ((int tokens, int hidden, int inner, int experts, int group, int bytes) in new[]
        {
            (1, 64, 64, 2, 32, 1), (5, 70, 33, 4, 32, 1), (40, 130, 90, 3, 64, 2), (120, 24, 65, 2, 0, 0), (9, 300, 200, 8, 128, 1), (3, 16, 8, 1, 0, 1),
        })
        {
            // Equal logits and no zero experts: every weight is 1 / experts, times the factor.
            W4A8Experts stacks = W4A8Experts.Random(random, experts, hidden, inner, group, bytes);
            float[] x = [.. Enumerable.Range(0, tokens * hidden).Select(_ => (random.NextSingle() - 0.5f) * 4)];
            Feed?[] inputs = [new("x", x, tokens, hidden), new("router", new float[experts * hidden], experts, hidden), null, .. stacks.Feeds];
            using OperatorSession session = new("ExpertMixture", inputs, s_outputs, Attributes(experts, experts, W4A8Experts.Attributes(hidden, inner, group, bytes)));
            IReadOnlyDictionary<string, Array> got = session.RunAll(inputs);
            Assert.Equal(Enumerable.Range(0, tokens).SelectMany(_ => Enumerable.Range(0, experts)), (int[])got["selected"]);

            // Gate and up: exact products, then silu in floats.
            float[] made = (float[])got["inner"];
            Int8Reference.Rows rows = Int8Reference.Quantize(x, hidden, stacks.Gate[0].Group);
            float[] y = new float[tokens * hidden];
            for (int e = 0; e < experts; e++)
            {
                float[] gate = Int8Reference.Multiply(rows, stacks.Gate[e]), up = Int8Reference.Multiply(rows, stacks.Up[e]), own = new float[tokens * inner];
                for (int t = 0; t < tokens; t++)
                {
                    Array.Copy(made, ((t * experts) + e) * inner, own, t * inner, inner);
                }

                for (int i = 0; i < own.Length; i++)
                {
                    double want = gate[i] / (1 + Math.Exp(-gate[i])) * up[i], difference = Math.Abs(own[i] - want) / (1e-6 + Math.Abs(want));
                    Assert.True(difference <= 1e-6, $"inner is {own[i]}, expected {want}");
                    most = Math.Max(most, difference);
                }

                // Down, out of what the operator itself made inside: the same bits.
                float weight = 1f / experts * 1.5f;
                float[] down = Int8Reference.Multiply(Int8Reference.Quantize(own, inner, stacks.Down[0].Group), stacks.Down[e]);
                for (int i = 0; i < y.Length; i++)
                {
                    y[i] += weight * down[i];
                }
            }

            W4A8MatMulTests.AssertBits(y, (float[])got["y"]);
        }

        output.WriteLine($"{path}: y bit for bit; inner within {most:g2} of the value (allowed 1e-6: e^x, a quotient and a product in float32)");
    }

    [Theory]
    [InlineData("layout", 3L, "attribute layout is 3, expected 0 or 1 or 2")]
    [InlineData("hidden_size", 0L, "attribute hidden_size is 0, expected 1..")]
    [InlineData("hidden_size", null, "attribute hidden_size is missing")]
    [InlineData("hidden_size", 3_000_000L, "attribute hidden_size is 3000000: sums of so many products do not fit 32 bits, expected at most 2113665")]
    [InlineData("intermediate_size", null, "attribute intermediate_size is missing")]
    [InlineData("group_size", 20L, "attribute group_size is 20, expected 0 (one group) or a multiple of 8")]
    [InlineData("group_scale_bytes", 0L, "attribute group_scale_bytes is 0 with group_size 32, expected 1 or 2")]
    [InlineData("group_scale_bytes", 3L, "attribute group_scale_bytes is 3, expected 0 or 1 or 2")]
    public void A_wrong_attribute_is_refused_when_the_session_is_made(string name, object? value, string expected)
    {
        Feed[] inputs = Inputs();
        AttributeProto[] own = [.. W4A8Experts.Attributes(40, 16, 32, 1).Where(attribute => attribute.Name != name)];
        AttributeProto[] attributes = Attributes(1, 1, value is long number ? [.. own, NodeAttribute.Int(name, number)] : own);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => new OperatorSession("ExpertMixture", inputs, s_outputs, attributes).Dispose());
        Assert.Contains("longcat::ExpertMixture 'y': " + expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Scales_come_with_packed_experts_only()
    {
        Feed[] inputs = Inputs();
        Expect([.. inputs[..8]], 2, "input 8 (down_scale) is missing");
        Expect([.. inputs[..6], null, .. inputs[7..]], 2, "input 6 (gate_scale) is missing");
        Feed[] floats = [new("gate", new float[640], 1, 16, 40), new("up", new float[640], 1, 16, 40), new("down", new float[640], 1, 40, 16)];
        Expect([.. inputs[..3], .. floats, .. inputs[6..]], 0, "input 6 (gate_scale) belongs to layout 2, expected none with layout 0");
        Expect([.. inputs[..3], .. floats, .. inputs[6..]], 2, "input 3 (gate) has shape [1, 16, 40], expected [1, 1, 1408]");

        static void Expect(Feed?[] inputs, int layout, string expected)
        {
            AttributeProto[] own = [.. W4A8Experts.Attributes(40, 16, 32, 1).Where(attribute => attribute.Name != "layout"), NodeAttribute.Int("layout", layout)];
            using OperatorSession session = new("ExpertMixture", inputs, s_outputs, Attributes(1, 1, own));
            OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
            Assert.Contains("longcat::ExpertMixture 'y': " + expected, error.Message, StringComparison.Ordinal);
        }
    }

    private static Feed[] Inputs() =>
    [
        new("x", new float[40], 1, 40), new("router", new float[40], 1, 40), new("correction_bias", new float[1], 1),
        .. W4A8Experts.Random(new(13), 1, 40, 16, 32, 1).Feeds,
    ];

    private static AttributeProto[] Attributes(int experts, int top, AttributeProto[] own) =>
    [
        NodeAttribute.Int("top_k", top), NodeAttribute.Int("num_experts", experts), NodeAttribute.Int("num_zero_experts", 0),
        NodeAttribute.Float("routed_scaling_factor", 1.5), NodeAttribute.Int("normalize", 0), NodeAttribute.String("zero_expert_type", "identity"), .. own,
    ];
}
