using LongCat.ML.Onnx;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The operator inside ONNX Runtime; its numbers are proven by the tests of the kernels.</summary>
public sealed class ExpertMixtureTests
{
    [Theory]
    [InlineData("identity")]
    [InlineData("drop")]
    public void A_token_that_chooses_the_zero_expert_is_scaled_or_dropped(string type)
    {
        // One real and one zero expert; the correction bias forces the zero one. Equal logits: p = 1/2, times the factor 6 gives 3.
        Feed[] inputs =
        [
            new("x", new float[] { 1, -2 }, 1, 2), new("router", new float[4], 2, 2), new("correction_bias", new float[] { 0, 1 }, 2),
            new("gate", new float[6], 1, 3, 2), new("up", new float[6], 1, 3, 2), new("down", new float[6], 1, 2, 3),
        ];
        using OperatorSession session = new(
            "ExpertMixture", inputs, [("y", ElementType.Float)],
            NodeAttribute.Int("top_k", 1), NodeAttribute.Int("num_experts", 1), NodeAttribute.Int("num_zero_experts", 1),
            NodeAttribute.Float("routed_scaling_factor", 6), NodeAttribute.Int("normalize", 0), NodeAttribute.String("zero_expert_type", type));
        Assert.Equal(type == "identity" ? [3f, -6f] : [0f, 0f], session.Run(inputs));
    }

    [Fact]
    public void Without_bias_and_zero_experts_normalized_weights_add_up_to_one()
    {
        // Two experts that both double x[0] · silu(1): gate gives 1 for both, up gives x[0]. Equal logits for whatever x.
        Feed?[] inputs =
        [
            new("x", new float[] { 1, -2 }, 1, 2), new("router", new float[6], 3, 2), null,
            new("gate", new float[] { 1, 0, 1, 0, 1, 0 }, 3, 1, 2), new("up", new float[] { 1, 0, 1, 0, 1, 0 }, 3, 1, 2), new("down", new float[] { 2, 0, 2, 0, 2, 0 }, 3, 2, 1),
        ];
        using OperatorSession session = new(
            "ExpertMixture", inputs, [("y", ElementType.Float)],
            NodeAttribute.Int("top_k", 2), NodeAttribute.Int("num_experts", 3), NodeAttribute.Int("num_zero_experts", 0),
            NodeAttribute.Float("routed_scaling_factor", 1), NodeAttribute.Int("normalize", 1), NodeAttribute.String("zero_expert_type", "drop"));
        float[] y = session.Run(inputs);
        Assert.Equal(2 / (1 + Math.Exp(-1)), y[0], 1e-6);
        Assert.Equal(0, y[1]);
    }
}
