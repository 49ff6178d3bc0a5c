using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Projections in 4-bit blocks.</summary>
public sealed class FourBitTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(64, 32)]
    [InlineData(40, 32)]
    [InlineData(100, 16)]
    [InlineData(128, 64)]
    [InlineData(200, 128)]
    [InlineData(256, 256)]
    public void MatMulNBits_multiplies_by_the_blocks_as_they_are_written(int width, int block)
    {
        const int Outputs = 5;
        Random random = new(width);
        float[] matrix = [.. Enumerable.Range(0, Outputs * width).Select(_ => (random.NextSingle() - 0.5f) * 3)];
        matrix.AsSpan(width, 32).Clear();
        float[] x = [.. Enumerable.Range(0, 3 * width).Select(_ => random.NextSingle() - 0.5f)];
        ComputedTensor source = new("matrix", matrix, Outputs, width);
        using OneNodeModel model = new(graph =>
        {
            Value input = graph.Input("x", ElementType.Float, "rows", width);
            Value product = graph.MatMul4Bits(
                input, graph.Weight("quants", NBitsTensor.Quants(source, block)), graph.Weight("scales", NBitsTensor.Scales(source, block)), Outputs, width, block, "y");
            graph.Output(product, ElementType.Float, "rows", Outputs);
        });
        using OrtValue value = OrtValue.CreateTensorValueFromMemory(x, [3, width]);
        using IDisposableReadOnlyCollection<OrtValue> outputs = model.Run(("x", value));

        float[] rounded = Rounded(matrix, width, block);
        double step = matrix.Zip(rounded, (before, after) => Math.Abs(before - after)).Max();
        double worst = 0;
        for (int row = 0; row < 3; row++)
        {
            for (int o = 0; o < Outputs; o++)
            {
                double expected = Enumerable.Range(0, width).Sum(k => (double)x[(row * width) + k] * rounded[(o * width) + k]);
                worst = Math.Max(worst, Math.Abs(expected - outputs[0].GetTensorDataAsSpan<float>()[(row * Outputs) + o]));
            }
        }

        // A block's step is at most an eighth of its largest number (1.5), a value errs by at most half a step except beside the missing level. Activations are rounded
        // to a 254th of their block's range: with |x| up to 0.5 and |w| up to 1.5, random signs, the sums of 64 products err by about 0.5/254·1.5/3·√64 = 0.008.
        double limit = 2e-2 * Math.Sqrt(width / 64.0);
        output.WriteLine($"weights move by up to {step:F3}, limit {1.5 / 8:F3}; products differ by {worst:E2}, limit {limit:E2}");
        Assert.InRange(step, 0.01, 1.5 / 8);
        Assert.True(worst <= limit);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_model_in_four_bits_is_smaller_and_stays_close(bool decoder)
    {
        string checkpoint = decoder
            ? RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { HiddenSize = 128, HeadDim = 32, IntermediateSize = 256, Tied = true })
            : RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { HiddenSize = 96, FfnSize = 128, LatentRank = 32 });
        ExportResult wide = OnnxExporter.Export(checkpoint, _folder["f32"], new ExportOptions { Operators = OperatorSet.Standard });
        ExportResult narrow = OnnxExporter.Export(checkpoint, _folder["int4"], new ExportOptions { Operators = OperatorSet.Standard, Precision = WeightPrecision.Int4 });
        long[] prompt = [.. Enumerable.Range(0, 30).Select(i => (long)(3 + (i * 37 % 260)))];
        using PaddedGraphRunner expected = new(wide.Folder, 1);
        using PaddedGraphRunner actual = new(narrow.Folder, 1);

        float[] x = expected.Run([prompt])[0];
        float[] y = actual.Run([prompt])[0];

        double error = Math.Sqrt(x.Zip(y, (a, b) => Math.Pow(a - b, 2)).Sum() / x.Sum(a => (double)a * a));
        output.WriteLine($"{wide.DataBytes} bytes, {narrow.DataBytes} bytes; logits differ by {error:P1} of their size, limit 40 %");
        Assert.True(narrow.DataBytes < wide.DataBytes);

        // Random weights have no outliers to gain from and no redundancy to lose: each product errs by about 7 %, and they add up over the layers.
        Assert.InRange(error, 0.001, 0.4);
        Assert.Equal(WeightPrecision.Int4, ModelManifest.Read(narrow.Folder).Precision);
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(narrow.Folder, ModelManifest.ModelFileName)));
        Assert.Contains(model.Graph.Node, node => node.OpType == "MatMulNBits" && node.Output[0] == "logits");
    }

    [Fact]
    public void The_output_head_can_stay_in_float_so_that_the_matrices_between_can_be_compared()
    {
        string checkpoint = RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { HiddenSize = 128, HeadDim = 32, IntermediateSize = 256 });
        ExportOptions options = new() { Operators = OperatorSet.Standard, Precision = WeightPrecision.Int4, Int4Head = false };
        ExportResult result = OnnxExporter.Export(checkpoint, _folder["out"], options);
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(result.Folder, ModelManifest.ModelFileName)));
        Assert.NotEqual("MatMulNBits", model.Graph.Node.Single(node => node.Output.Contains("logits")).OpType);
        Assert.Contains(model.Graph.Node, node => node.OpType == "MatMulNBits");
    }

    [Fact]
    public void Larger_blocks_make_a_smaller_model_and_the_nodes_say_their_size()
    {
        string checkpoint = RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { HiddenSize = 128, HeadDim = 32, IntermediateSize = 256 });
        long before = long.MaxValue;
        foreach (int block in (int[])[16, 32, 64, 128])
        {
            ExportOptions options = new() { Operators = OperatorSet.Standard, Precision = WeightPrecision.Int4, Int4BlockSize = block, Overwrite = true };
            ExportResult result = OnnxExporter.Export(checkpoint, _folder["out"], options);
            ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(result.Folder, ModelManifest.ModelFileName)));
            Assert.All(
                model.Graph.Node.Where(node => node.OpType == "MatMulNBits"),
                node => Assert.Equal((block, 4), ((int)node.Attribute.Single(a => a.Name == "block_size").I, (int)node.Attribute.Single(a => a.Name == "accuracy_level").I)));
            Assert.True(result.DataBytes < before);
            before = result.DataBytes;
        }

        Assert.Contains("Int4BlockSize is 48", Assert.Throws<ArgumentOutOfRangeException>(
            () => OnnxExporter.Export(checkpoint, _folder["out"], new ExportOptions { Operators = OperatorSet.Standard, Precision = WeightPrecision.Int4, Int4BlockSize = 48 })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_longcat_operators_refuse_four_bits()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["in"]);
        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>(
            () => OnnxExporter.Export(checkpoint, _folder["out"], new ExportOptions { Precision = WeightPrecision.Int4 }));
        Assert.Contains("--ops standard", error.Message, StringComparison.Ordinal);
    }

    /// <summary>What the blocks stand for, computed apart from the exporter.</summary>
    private static float[] Rounded(float[] matrix, int width, int blockSize)
    {
        float[] result = new float[matrix.Length];
        for (int row = 0; row < matrix.Length / width; row++)
        {
            for (int first = 0; first < width; first += blockSize)
            {
                Range block = ((row * width) + first)..((row * width) + Math.Min(width, first + blockSize));
                double scale = -matrix[block].MaxBy(Math.Abs) / 8.0;
                for (int i = block.Start.Value; i < block.End.Value; i++)
                {
                    result[i] = scale == 0 ? 0 : (float)(Math.Clamp(Math.Round(matrix[i] / scale), -8, 7) * scale);
                }
            }
        }

        return result;
    }
}
