using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

/// <summary>
/// What LongCat.ML.Quantization packs, read by the operator. Activations are integers with scale 1 and the weights' scales powers of two, so that the product of the
/// dequantized weights is exact in double and in the operator: they must be equal.
/// </summary>
public sealed class QuantizedWeightsTests
{
    [Theory]
    [InlineData(70, 300, 64, WeightScaling.TwoLevel)]
    [InlineData(64, 128, 32, WeightScaling.TwoLevelNarrow)]
    [InlineData(130, 77, 32, WeightScaling.IntegerScale)]
    [InlineData(33, 1000, 0, WeightScaling.PerChannel)]
    public void The_operator_multiplies_by_what_the_levels_say(int n, int k, int group, WeightScaling scaling)
    {
        Random random = new(n + k);
        float[] weights = [.. Enumerable.Range(0, n * k).Select(_ => (random.NextSingle() + random.NextSingle() + random.NextSingle() - 1.5f) / 8)];
        QuantizationOptions options = new() { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = group, Scaling = scaling, Clipping = WeightClipping.Grid };
        QuantizedMatrix found = new MatrixQuantizer(options, null).Quantize("w", weights, n, k, new LinearSite { Name = "x", Channels = k });
        float[] powers = [.. Enumerable.Range(0, n).Select(i => MathF.Sign(found.Scales[i]) * MathF.ScaleB(1, -10 - (i % 3)))];
        QuantizedMatrix matrix = new(n, k, found.GroupSize, found.GroupScaleBytes, found.Levels, found.GroupScales, powers, 0, found.Report);
        Assert.True(group == 0 || matrix.GroupScales!.Any(scale => scale < 0), "no group is mirrored: the test would not see the sign");

        const int m = 5;
        sbyte[] x = [.. Enumerable.Range(0, m * k).Select(_ => (sbyte)random.Next(-127, 128))];
        int length = group == 0 ? k : group, groups = (k + length - 1) / length;
        int[] sums = [.. Enumerable.Range(0, m * groups).Select(i => Enumerable.Range(i % groups * length, Math.Min(length, k - (i % groups * length))).Sum(c => x[(i / groups * k) + c]))];
        using MemoryStream packed = new();
        W4A8Packing.Pack(matrix, packed);
        Feed[] inputs =
        [
            new("A", x, m, k), new("a_scale", Enumerable.Repeat(1f, m).ToArray(), m), new("a_sums", sums, m, groups),
            new("B", packed.ToArray(), W4A8Packing.Panels(n), W4A8Packing.PanelBytes(k, group, matrix.GroupScaleBytes)), new("scale", matrix.Scales, n),
        ];
        using OperatorSession session = new("W4A8MatMul", inputs, [("Y", ElementType.Float)],
            NodeAttribute.Int("in_features", k), NodeAttribute.Int("out_features", n), NodeAttribute.Int("group_size", group),
            NodeAttribute.Int("group_scale_bytes", matrix.GroupScaleBytes), NodeAttribute.Int("layout", W4A8Packing.LayoutVersion));
        float[] got = session.Run(inputs), wide = matrix.Dequantize();
        for (int i = 0; i < got.Length; i++)
        {
            double exact = 0;
            for (int c = 0; c < k; c++)
            {
                exact += (double)x[(i / n * k) + c] * wide[(i % n * k) + c];
            }

            Assert.Equal((float)exact, got[i]);
        }
    }
}
