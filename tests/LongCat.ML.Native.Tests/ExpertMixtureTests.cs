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

    [Theory]
    [InlineData("y", "selected", "inner")]
    [InlineData("y", "", "inner")]
    [InlineData("y", "selected", "")]
    [InlineData("y", "selected")]
    public void The_optional_outputs_name_the_chosen_experts_and_what_they_made_inside(params string[] names)
    {
        // Two experts and a zero expert; the biases choose expert 1 and the zero expert (2) of three entries with equal logits.
        Feed[] inputs =
        [
            new("x", new float[] { 1, -2, 3, 1 }, 2, 2), new("router", new float[6], 3, 2), new("correction_bias", new float[] { 0, 1, 1 }, 3),
            new("gate", new float[] { 5, 5, 0, 1 }, 2, 1, 2), new("up", new float[] { 5, 5, 1, 0 }, 2, 1, 2), new("down", new float[] { 5, 5, 1, 2 }, 2, 2, 1),
        ];
        using OperatorSession session = new(
            "ExpertMixture", inputs, [.. names.Select(name => (name, name == "selected" ? ElementType.Int32 : ElementType.Float))],
            NodeAttribute.Int("top_k", 2), NodeAttribute.Int("num_experts", 2), NodeAttribute.Int("num_zero_experts", 1),
            NodeAttribute.Float("routed_scaling_factor", 3), NodeAttribute.Int("normalize", 0), NodeAttribute.String("zero_expert_type", "identity"));
        IReadOnlyDictionary<string, Array> results = session.RunAll(inputs);
        double first = -2 / (1 + Math.Exp(2)), second = 3 / (1 + Math.Exp(-1));
        Assert.Equal([1 + first, -2 + (2 * first), 3 + second, 1 + (2 * second)], ((float[])results["y"]).Select(y => Math.Round(y, 5)), new Near(1e-5));
        if (names.Contains("selected"))
        {
            Assert.Equal([1, 2, 1, 2], (int[])results["selected"]);
        }

        if (names.Contains("inner"))
        {
            Assert.Equal([first, 0, second, 0], ((float[])results["inner"]).Select(value => (double)value), new Near(1e-6));
        }

        Assert.Equal(names.Where(name => name.Length > 0).Order(), results.Keys.Order());
    }

    private sealed class Near(double tolerance) : IEqualityComparer<double>
    {
        public bool Equals(double x, double y) => Math.Abs(x - y) <= tolerance;

        public int GetHashCode(double value) => 0;
    }
}
