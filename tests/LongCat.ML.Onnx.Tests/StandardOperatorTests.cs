using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>What the emitters ask of ONNX Runtime's own CPU kernels: that they load at the opset written, and compute what the emitters mean.</summary>
public sealed class StandardOperatorTests
{
    [Fact]
    public void RmsNorm_and_silu_load_in_the_default_and_the_microsoft_domain()
    {
        float[] weight = [0.5f, 1, 2, -1];
        float[] x = [1, -2, 3, 0.25f, 1e-4f, 0, -1e-4f, 2e-4f];
        using OneNodeModel model = new(graph =>
        {
            Value input = graph.Input("x", ElementType.Float, "T", 4);
            Value norm = graph.RmsNorm(input, graph.Weight("weight", new ComputedTensor("weight", weight, 4)), 1e-5, "norm");
            graph.Output(norm, ElementType.Float, "T", 4);
            graph.Output(graph.SiluMul(input, norm, "silu"), ElementType.Float, "T", 4);
        });

        using OrtValue value = OrtValue.CreateTensorValueFromMemory(x, [2, 4]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = model.Run(("x", value));

        ReadOnlySpan<float> norm = outputs[0].GetTensorDataAsSpan<float>();
        ReadOnlySpan<float> silu = outputs[1].GetTensorDataAsSpan<float>();
        for (int row = 0; row < 2; row++)
        {
            double mean = Enumerable.Range(0, 4).Average(i => (double)x[(row * 4) + i] * x[(row * 4) + i]);
            for (int i = 0; i < 4; i++)
            {
                int at = (row * 4) + i;
                double expected = x[at] / Math.Sqrt(mean + 1e-5) * weight[i];
                Assert.Equal(expected, norm[at], 1e-6);
                Assert.Equal(x[at] / (1 + Math.Exp(-x[at])) * expected, silu[at], 2e-6);
            }
        }
    }

    [Fact]
    public void A_row_gathered_from_a_bfloat16_table_is_cast_to_float32()
    {
        ushort[] table = [0x3F80, 0x4000, 0xBF00, 0x7F7F, 0x0001, 0x8000];
        using OneNodeModel model = new(graph =>
        {
            Value rows = graph.Input("rows", ElementType.Int64, "T");
            Value gathered = graph.Gather(graph.Weight("table", new BFloat16Tensor("table", table, 3, 2)), rows, "gathered");
            graph.Output(graph.Cast(gathered, ElementType.Float, "row"), ElementType.Float, "T", 2);
        });

        using OrtValue rows = OrtValue.CreateTensorValueFromMemory(new long[] { 2, 0, 1 }, [3]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = model.Run(("rows", rows));

        Assert.Equal(
            [Widen(0x0001), Widen(0x8000), 1f, 2f, -0.5f, Widen(0x7F7F)],
            outputs[0].GetTensorDataAsSpan<float>().ToArray());
    }

    private static float Widen(ushort value) => BitConverter.UInt32BitsToSingle((uint)value << 16);
}
