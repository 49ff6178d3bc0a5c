using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Adapters;
using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests;

/// <summary>Matrices read back out of exported folders, in every layout, against the checkpoint's or what the quantizer makes of them.</summary>
public sealed class BaseMatrixTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Floats_are_those_of_the_checkpoint(bool bfloat16)
    {
        // 45 and 51: odd widths and rows that fill no panel.
        string latent = RandomCheckpoint.Write(_folder["latent"], new RandomCheckpointOptions { FfnSize = 45, BFloat16 = bfloat16 });
        string tied = RandomDecoder.Write(_folder["tied"], new RandomDecoderOptions { Architecture = "Qwen2ForCausalLM", IntermediateSize = 51, Tied = true, BFloat16 = bfloat16 });
        foreach ((string checkpoint, int modules) in new[] { (latent, 17), (tied, 15) })
        {
            string folder = OnnxExporter.Export(checkpoint, _folder[Path.GetFileName(checkpoint) + "-onnx"]).Folder;
            using Checkpoint weights = Checkpoint.Open(checkpoint);
            IReadOnlyDictionary<string, AdaptableModule> found = AdapterGraph.Read(Path.Combine(folder, "model.onnx")).Modules;
            // The experts of a mixture lie in three stacks.
            AdaptableModule[] stacks = [.. found.Values.Where(module => module.Experts > 0)];
            Assert.Equal(modules, found.Count - stacks.Length);
            Assert.Equal(checkpoint == latent ? 3 : 0, stacks.Length);
            foreach (AdaptableModule module in found.Values.Except(stacks).Concat(stacks.SelectMany(stack => Enumerable.Range(0, stack.Experts).Select(stack.Expert))))
            {
                string name = module.Module == "lm_head" ? weights.Config.OutputHeadName : $"{module.Module}.weight";
                Assert.Equal(weights.ReadFloat32(name), Read(folder, module, (int)weights.Entry(name).Shape[1]));
            }
        }
    }

    [Theory]
    [InlineData(64, WeightScaling.TwoLevel)]
    [InlineData(32, WeightScaling.IntegerScale)]
    [InlineData(0, WeightScaling.PerChannel)]
    public void Packed_levels_are_those_of_the_quantizer(int group, WeightScaling scaling)
    {
        string checkpoint = RandomDecoder.Write(_folder["checkpoint"], new RandomDecoderOptions { IntermediateSize = 72, VocabSize = 275 });
        QuantizationOptions options = new() { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = group, Scaling = scaling };
        string folder = OnnxExporter.Export(checkpoint, _folder["onnx"], new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = options }).Folder;
        using Checkpoint weights = Checkpoint.Open(checkpoint);
        MatrixQuantizer quantizer = new(options.Resolve(), null);
        HashSet<string> operators = [];
        foreach (AdaptableModule module in AdapterGraph.Read(Path.Combine(folder, "model.onnx")).Modules.Values)
        {
            operators.Add(module.Operator);
            float[] values = weights.ReadFloat32($"{module.Module}.weight");
            int n = (int)module.OutFeatures, k = (int)module.InFeatures;
            float[] expected = module.Operator == "W8A8MatMul"
                ? quantizer.QuantizeInt8(module.Module, values, n, k).Dequantize()
                : quantizer.Quantize(module.Module, values, n, k, new LinearSite { Name = "x", Channels = k }).Dequantize();
            float[] actual = Read(folder, module, k);
            Assert.Equal(expected.Length, actual.Length);
            for (int i = 0; i < expected.Length; i++)
            {
                // Three factors, in one order or the other.
                Assert.True(MathF.Abs(expected[i] - actual[i]) <= 2e-7f * MathF.Abs(expected[i]), $"{module.Module} [{i / k}, {i % k}]: {actual[i]}, expected {expected[i]}");
            }
        }

        Assert.Equal(["W4A8MatMul", "W8A8MatMul"], operators.Order(StringComparer.Ordinal));
    }

    private static float[] Read(string folder, AdaptableModule module, int inFeatures)
    {
        using BaseMatrix matrix = BaseMatrix.Open(folder, module, inFeatures);
        float[] all = new float[matrix.OutFeatures * inFeatures];
        for (int first = 0; first < matrix.OutFeatures; first += matrix.BlockRows)
        {
            int count = Math.Min(matrix.BlockRows, matrix.OutFeatures - first);
            matrix.Read(first, count, all.AsSpan(first * inFeatures, count * inFeatures));
        }

        return all;
    }
}
