using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>The operator inside ONNX Runtime: optional inputs, empty ranks, shapes. Its numbers are proven by the tests of the kernels.</summary>
public sealed class LoraMatMulTests
{
    private static readonly (string, ElementType)[] s_output = [("Y", ElementType.Float)];

    // Small whole numbers: every sum is exact.
    private static readonly Feed s_x = new("x", new float[] { 1, 2, 3, 4, 5, 6 }, 3, 2), s_base = new("base", new float[] { 10, 20, 30, 40, 50, 60 }, 3, 2);

    [Fact]
    public void One_adapter_serves_every_row_without_further_inputs()
    {
        Feed[] inputs = [s_x, s_base, new("A", new float[] { 1, 2 }, 2, 1), new("B", new float[] { 1, -1 }, 1, 2)];
        using OperatorSession session = new("LoraMatMul", inputs, s_output);
        Assert.Equal([15, 15, 41, 29, 67, 43], session.Run(inputs, out IReadOnlyList<long> shape));
        Assert.Equal([3L, 2L], shape);
    }

    [Fact]
    public void No_rank_gives_the_base_and_what_is_added_to_it()
    {
        Feed[] inputs = [s_x, s_base, new("A", Array.Empty<float>(), 2, 0), new("B", Array.Empty<float>(), 0, 2)];
        using OperatorSession session = new("LoraMatMul", inputs, s_output);
        Assert.Equal((float[])s_base.Data, session.Run(inputs));
        Feed?[] added = [.. inputs, null, null, null, new("bias", new float[] { 1, 2 }, 2), new("residual", new float[] { 1, 1, 1, 1, 1, 1 }, 3, 2)];
        using OperatorSession other = new("LoraMatMul", added, s_output);
        Assert.Equal([12, 23, 32, 43, 52, 63], other.Run(added));
    }

    [Fact]
    public void Rows_of_one_batch_have_adapters_of_different_ranks_and_gains()
    {
        Feed?[] inputs =
        [
            s_x, s_base, new("A", new float[] { 1, 0, 1, 0, 1, 1 }, 2, 3), new("B", new float[] { 1, 1, 2, 0, 0, 3 }, 3, 2), new("row_adapter", new[] { 1, -1, 0 }, 3),
            new("adapter_start", new[] { 0, 1, 3 }, 3), new("gain", new float[] { 2, 1, 1, 0.5f }, 2, 2), new("bias", new float[] { 100, 100 }, 2),
        ];
        using OperatorSession session = new("LoraMatMul", inputs, s_output);

        // Row 0: u = x · columns 1, 2 of A = (2, 3), u · B = (4, 9). Row 2: u = 5.
        Assert.Equal([100 + 14, 100 + 14.5f, 130, 140, 100 + (2 * 55), 100 + 65], session.Run(inputs));
    }

    [Fact]
    public void No_rows_give_no_rows()
    {
        Feed[] inputs =
        [
            new("x", Array.Empty<float>(), 0, 2), new("base", Array.Empty<float>(), 0, 2), new("A", new float[4], 2, 2), new("B", new float[4], 2, 2),
            new("row_adapter", Array.Empty<int>(), 0), new("adapter_start", new[] { 0, 1, 2 }, 3),
        ];
        using OperatorSession session = new("LoraMatMul", inputs, s_output);
        Assert.Empty(session.Run(inputs, out IReadOnlyList<long> shape));
        Assert.Equal([0L, 2L], shape);
    }

    [Theory]
    [InlineData(3, 1, 1, 2, "input 0 (x) has shape [3, 2], expected its last dimension to be 3 (input 2 (A) has shape [3, 1], [K, ranks]: transposed against PEFT)")]
    [InlineData(2, 1, 2, 2, "input 3 (B) has shape [2, 2], expected [1, any]")]
    [InlineData(2, 1, 1, 3, "input 1 (base) has shape [3, 2], expected [3, 3]")]
    public void Matrices_of_another_shape_are_named(int k, int rankOfA, int rankOfB, int n, string expected)
    {
        Feed[] inputs = [s_x, s_base, new("A", new float[k * rankOfA], k, rankOfA), new("B", new float[rankOfB * n], rankOfB, n)];
        using OperatorSession session = new("LoraMatMul", inputs, s_output);
        OnnxRuntimeException error = Assert.Throws<OnnxRuntimeException>(() => session.Run(inputs));
        Assert.Contains($"longcat::LoraMatMul 'Y': {expected}", error.Message, StringComparison.Ordinal);
    }
}
