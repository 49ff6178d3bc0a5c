using LongCat.ML.Onnx;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>What sparse rows leave out, inside ONNX Runtime; the numbers are proven by the tests of the kernels.</summary>
public sealed class SparseVerificationTests
{
    private static readonly (string, ElementType)[] s_y = [("y", ElementType.Float)];

    [Theory]
    [InlineData(0.1f, true)]
    [InlineData(0.1f, false)]
    [InlineData(0f, true)]
    public void A_gated_mlp_has_the_bits_of_the_products_that_it_stands_for(float tau, bool marked)
    {
        const int Rows = 5, Hidden = 40, Inner = 300;
        Random random = new(91);
        Feed up = new("B", random.Floats(Inner * Hidden), Inner, Hidden), down = new("B", random.Floats(Hidden * Inner), Hidden, Inner);
        float[] x = random.Floats(Rows * Hidden), residual = random.Floats(Rows * Hidden), activation = [.. random.Floats(Rows * Inner).Select(value => value * value * value)];
        byte[] marks = [.. Enumerable.Range(0, Rows).Select(row => (byte)(marked && row != 2 ? 1 : 0))];
        Feed?[] inputs =
        [
            new("x", x, Rows, Hidden), new("activation", activation, Rows, Inner), FuzzCases.InPanels(up) with { Name = "up" }, FuzzCases.InPanels(down) with { Name = "down" },
            FuzzCases.ByChannel(up, "up_channels", columns: false), FuzzCases.ByChannel(down, "down_channels", columns: true), null, null,
            new("residual", residual, Rows, Hidden), new("sparse_rows", marks, Rows), new("tau", new[] { tau }, 1),
        ];
        using OperatorSession session = new("SparseGatedMlp", inputs, s_y, NodeAttribute.Int("hidden_size", Hidden), NodeAttribute.Int("intermediate_size", Inner));
        float[] got = session.Run(inputs);

        float[] projected = Product(x, up, Rows, Hidden);
        float[] inner = [.. projected.Select((value, i) => marks[i / Inner] != 0 && MathF.Abs(activation[i]) < tau ? 0 : activation[i] * value)];
        Assert.Equal(Product(inner, down, Rows, Inner, new Feed("residual", residual, Rows, Hidden)), got);
        Assert.Equal(tau > 0 && marked, inner.Contains(0f));

        // The rows alone: without the exact one among them the operator picks channels, and the bits stay.
        foreach (int row in (int[])[0, 2])
        {
            Feed?[] alone =
            [
                new("x", x[(row * Hidden)..((row + 1) * Hidden)], 1, Hidden), new("activation", activation[(row * Inner)..((row + 1) * Inner)], 1, Inner), .. inputs[2..8],
                new("residual", residual[(row * Hidden)..((row + 1) * Hidden)], 1, Hidden), new("sparse_rows", new[] { marks[row] }, 1), inputs[10],
            ];
            Assert.Equal(got[(row * Hidden)..((row + 1) * Hidden)], session.Run(alone));
        }
    }

    [Fact]
    public void A_marked_row_of_a_mixture_leaves_its_weakest_experts_out()
    {
        // Three experts that give 1, 2 and 4 times silu(1) for x = 1, weights 1/2, 1/3 and 1/6 (logits ln 3, ln 2, 0); the third may be left out: its share is 1/6.
        float[] x = [1, 1, 1], router = [MathF.Log(3), MathF.Log(2), 0];
        double silu = 1 / (1 + Math.Exp(-1));
        (float[] y, float[] shares) = Mixture(x, router, [1, 0, 1], most: 2, betas: [0.2f, 0.4f], normalize: false);
        Assert.Equal([silu * 7 / 6, silu * 11 / 6, silu * 7 / 6], y.Select(value => (double)value), (want, got) => Math.Abs(want - got) < 1e-6);
        Assert.Equal([1 / 2d, 1 / 3d, 0, 1 / 2d, 1 / 3d, 1 / 6d, 1 / 2d, 1 / 3d, 0], shares.Select(value => (double)value), (want, got) => Math.Abs(want - got) < 1e-6);

        // Betas of one: always as many as may be. Weights of a normalizing family add up to one again.
        (y, shares) = Mixture(x, router, [1, 0, 1], most: 2, betas: [1, 1], normalize: false);
        Assert.Equal(silu / 2, y[0], 1e-6);
        (y, shares) = Mixture(x, router, [1, 0, 1], most: 1, betas: [1, 1], normalize: true);
        Assert.Equal(silu * ((3 / 5d) + (2 * 2 / 5d)), y[0], 1e-6);
        Assert.Equal([3 / 5d, 2 / 5d, 0], shares[..3].Select(value => (double)value), (want, got) => Math.Abs(want - got) < 1e-6);

        // At most none: the bits of rows without a mark.
        Assert.Equal(Mixture(x, router, [0, 0, 0], most: 2, betas: [1, 1], normalize: true).Y, Mixture(x, router, [1, 1, 1], most: 0, betas: [1, 1], normalize: true).Y);
    }

    [Fact]
    public void The_three_inputs_of_a_mixture_belong_together()
    {
        Feed?[] inputs = [.. MixtureInputs([1], [0, 0, 0], [1], 1, [1, 1])];
        inputs[23] = null;
        using OperatorSession session = Session(inputs, normalize: false);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("input 23 (sparse_experts) is missing, expected sparse_rows, sparse_experts and sparse_expert_betas together", error.Message, StringComparison.Ordinal);
    }

    private static float[] Product(float[] a, Feed weights, int rows, int k, Feed? residual = null)
    {
        Feed?[] inputs = [new("A", a, rows, k), FuzzCases.InPanels(weights), null, residual];
        using OperatorSession session = new(
            "MatMul", residual is null ? inputs[..2] : inputs, [("Y", ElementType.Float)], NodeAttribute.Int("layout", 1), NodeAttribute.Int("out_features", weights.Shape[0]));
        return session.Run(inputs);
    }

    private static (float[] Y, float[] Shares) Mixture(float[] x, float[] router, byte[] marks, int most, float[] betas, bool normalize)
    {
        Feed?[] inputs = MixtureInputs(x, router, marks, most, betas);
        using OperatorSession session = Session(inputs, normalize);
        IReadOnlyDictionary<string, Array> results = session.RunAll(inputs);
        return ((float[])results["y"], (float[])results["shares"]);
    }

    // The betas are those of the second of two mixtures.
    private static Feed?[] MixtureInputs(float[] x, float[] router, byte[] marks, int most, float[] betas) =>
    [
        new("x", x, x.Length, 1), new("router", router, 3, 1), null, new("gate", new float[] { 1, 1, 1 }, 3, 1, 1), new("up", new float[] { 1, 1, 1 }, 3, 1, 1),
        new("down", new float[] { 1, 2, 4 }, 3, 1, 1), .. new Feed?[16], new("sparse_rows", marks, marks.Length), new("sparse_experts", new[] { most }, 1),
        new("sparse_expert_betas", new[] { 0, 0, betas[0], betas[1] }, 2, 2),
    ];

    private static OperatorSession Session(Feed?[] inputs, bool normalize) => new(
        "ExpertMixture", inputs, [("y", ElementType.Float), ("", ElementType.Int32), ("", ElementType.Float), ("shares", ElementType.Float)],
        NodeAttribute.Int("top_k", 3), NodeAttribute.Int("num_experts", 3), NodeAttribute.Int("num_zero_experts", 0), NodeAttribute.Float("routed_scaling_factor", 1),
        NodeAttribute.Int("normalize", normalize ? 1 : 0), NodeAttribute.String("zero_expert_type", "drop"), NodeAttribute.Int("sparse_layer", 1));
}
