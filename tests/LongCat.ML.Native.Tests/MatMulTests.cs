using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The operator inside ONNX Runtime: types, optional inputs, shapes. Its numbers are proven by the tests of the kernels.</summary>
public sealed class MatMulTests
{
    private static readonly (string, ElementType)[] s_output = [("Y", ElementType.Float)];

    // 1.5 and -2 are exact in bfloat16, and so are the sums below.
    private static readonly float[] s_b = [1, 0, 1.5f, -2, 0, 1, 1, 1];
    private static readonly ushort[] s_b16 = [.. s_b.Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16))];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Multiplies_float32_and_bfloat16_weights(bool brain)
    {
        Feed[] inputs = [new("A", new float[] { 1, 2, 3, 4 }, 2, 2), new("B", brain ? s_b16 : s_b, 4, 2)];
        using OperatorSession session = new("MatMul", inputs, s_output);
        float[] y = session.Run(inputs, out IReadOnlyList<long> shape);
        Assert.Equal([2L, 4L], shape);
        Assert.Equal([1, -2.5f, 2, 3, 3, -3.5f, 4, 7], y);
    }

    [Fact]
    public void Adds_bias_and_residual_and_either_alone()
    {
        Feed a = new("A", new float[] { 1, 2 }, 1, 2), b = new("B", s_b, 4, 2);
        Feed bias = new("bias", new float[] { 10, 20, 30, 40 }, 4), residual = new("residual", new float[] { 1, 1, 1, 1 }, 1, 4);
        Feed?[] both = [a, b, bias, residual], onlyResidual = [a, b, null, residual], onlyBias = [a, b, bias];
        using OperatorSession first = new("MatMul", both, s_output), second = new("MatMul", onlyResidual, s_output), third = new("MatMul", onlyBias, s_output);
        Assert.Equal([12, 18.5f, 33, 44], first.Run(both));
        Assert.Equal([2, -1.5f, 3, 4], second.Run(onlyResidual));
        Assert.Equal([11, 17.5f, 32, 43], third.Run(onlyBias));
    }

    [Fact]
    public void No_rows_give_no_rows()
    {
        Feed[] inputs = [new("A", Array.Empty<float>(), 0, 2), new("B", s_b, 4, 2)];
        using OperatorSession session = new("MatMul", inputs, s_output);
        Assert.Empty(session.Run(inputs, out IReadOnlyList<long> shape));
        Assert.Equal([0L, 4L], shape);
    }

    [Fact]
    public void A_wrong_shape_names_the_operator_the_input_and_what_was_expected()
    {
        Feed[] inputs = [new("A", new float[] { 1, 2, 3 }, 1, 3), new("B", s_b, 4, 2)];
        using OperatorSession session = new("MatMul", inputs, s_output);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("longcat::MatMul 'Y': input 0 (A) has shape [1, 3], expected its last dimension to be 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_weight_type_is_named()
    {
        Feed[] inputs = [new("A", new float[] { 1, 2 }, 1, 2), new("B", new long[8], 4, 2)];
        using OperatorSession session = new("MatMul", inputs, s_output);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains("input 1 (B) is int64, expected float32 or bfloat16", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Panels_give_what_the_same_weights_give_row_by_row(bool brain)
    {
        Random random = new(3);
        const int N = 37, K = 19;
        float[] values = [.. Enumerable.Range(0, N * K).Select(_ => (float)random.Next(-8, 9))];  // exact in bfloat16, and so are their sums
        Feed a = new("A", Enumerable.Range(0, 3 * K).Select(_ => (float)random.Next(-8, 9)).ToArray(), 3, K);
        Feed rows = new("B", brain ? values.Select(value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)).ToArray() : values, N, K);
        using OperatorSession first = new("MatMul", [a, rows], s_output);
        using OperatorSession second = new("MatMul", [a, FuzzCases.InPanels(rows)], s_output, NodeAttribute.Int("layout", 1), NodeAttribute.Int("out_features", N));

        Assert.Equal(first.Run([a, rows]), second.Run([a, FuzzCases.InPanels(rows)], out IReadOnlyList<long> shape));
        Assert.Equal([3L, N], shape);
    }

    [Theory]
    [InlineData(2L, 4L, "attribute layout is 2, expected 0 (row-major) or 1 (panels of 16 outputs)")]
    [InlineData(-1L, 4L, "attribute layout is -1, expected 0")]
    [InlineData(1L, null, "attribute out_features is missing")]
    [InlineData(1L, 0L, "attribute out_features is 0, expected 1..")]
    [InlineData(0.5, 4L, "attribute layout is not an integer")]
    [InlineData("panels", 4L, "attribute layout is not an integer")]
    public void A_wrong_layout_is_refused_when_the_session_is_made(object layout, object? outFeatures, string expected)
    {
        Feed[] inputs = [new("A", new float[] { 1, 2 }, 1, 2), new("B", new float[32], 1, 2, 16)];
        AttributeProto[] attributes =
        [
            layout switch
            {
                long number => NodeAttribute.Int("layout", number),
                double number => NodeAttribute.Float("layout", number),
                _ => NodeAttribute.String("layout", (string)layout),
            },
            .. outFeatures is long count ? [NodeAttribute.Int("out_features", count)] : Array.Empty<AttributeProto>(),
        ];

        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => new OperatorSession("MatMul", inputs, s_output, attributes).Dispose());
        Assert.Contains("longcat::MatMul 'Y': " + expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, "input 0 (A) has shape [1, 3], expected its last dimension to be 2 (input 1 (B) has shape [1, 2, 16] in panels)")]
    [InlineData(true, "input 0 (A) has shape [1, 3], expected its last dimension to be 1 or 2 (input 1 (B) has shape [1, 1, 16, 2] in panels)")]
    public void Panels_of_another_depth_name_the_input_and_what_was_expected(bool brain, string expected)
    {
        Feed[] inputs = [new("A", new float[] { 1, 2, 3 }, 1, 3), brain ? new("B", new ushort[32], 1, 1, 16, 2) : new("B", new float[32], 1, 2, 16)];
        using OperatorSession session = new("MatMul", inputs, s_output, NodeAttribute.Int("layout", 1), NodeAttribute.Int("out_features", 4));
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }
}
