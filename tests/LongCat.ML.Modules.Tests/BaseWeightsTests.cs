using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests.Adapters;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests;

/// <summary>Frozen weights in bfloat16 and in 4 bits.</summary>
public sealed class BaseWeightsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("longcat")]
    [InlineData("Qwen2, tied")]
    [InlineData("Llama with biases")]
    [InlineData("Mixtral with a window")]
    public void Weights_that_are_bfloat16_on_disk_compute_the_same_in_bfloat16(string name)
    {
        string folder = Write(name, narrow: true);
        using var wide = CausalLanguageModel.Load(folder);
        using var narrow = CausalLanguageModel.Load(folder, BaseWeights.BFloat16);
        Assert.Equal(BaseWeights.BFloat16, narrow.BaseWeights);
        using var batch = Prompt();
        AdaptedModelTests.Close(AdaptedModelTests.Logits(wide, batch), AdaptedModelTests.Logits(narrow, batch), 1e-6);
        long bytes = narrow.state_dict().Values.Sum(value => value.NumberOfElements * value.ElementSize), full = wide.state_dict().Values.Sum(value => value.NumberOfElements * value.ElementSize);
        Assert.InRange(bytes, 0, (long)(0.56 * full));
        narrow.Save(_folder["back"], File.ReadAllText(Path.Combine(folder, "config.json")), TensorType.BFloat16);
        using var again = CausalLanguageModel.Load(_folder["back"]);
        Assert.Equal(AdaptedModelTests.Logits(wide, batch), AdaptedModelTests.Logits(again, batch));
    }

    /// <summary>The exporter writes what <see cref="MatrixQuantizer"/> gives for the same options (tests of LongCat.ML.Onnx say so); here the same is held against the modules.</summary>
    [Theory]
    [InlineData("longcat")]
    [InlineData("Qwen3 with biases")]
    [InlineData("Mixtral with a window")]
    public void Four_bits_are_those_of_rounding_to_nearest(string name)
    {
        string folder = Write(name, narrow: false);
        using var model = CausalLanguageModel.Load(folder, BaseWeights.W4A8);
        using var checkpoint = Checkpoint.Open(folder);
        MatrixQuantizer quantizer = new(new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest }, null);
        int four = 0;
        foreach (var (path, projection) in model.Projections())
        {
            using var scope = NewDisposeScope();
            string weight = path + ".weight";
            float[] stored = checkpoint.ReadFloat32(weight), dense = MemoryMarshal.Cast<byte, float>(projection.Dense(ScalarType.Float32).bytes).ToArray();
            int rows = (int)projection.OutFeatures, columns = (int)projection.InFeatures;
            if (path == "lm_head")
            {
                Assert.Equal(quantizer.QuantizeInt8(weight, stored, rows, columns).Dequantize(), dense);
            }
            else if (path.EndsWith("kv_b_proj", StringComparison.Ordinal) || path.Contains("router", StringComparison.Ordinal) || path.EndsWith(".gate", StringComparison.Ordinal) || path.Contains("post_projs", StringComparison.Ordinal))
            {
                Assert.Equal(stored, dense);
            }
            else
            {
                Assert.Equal(quantizer.Quantize(weight, stored, rows, columns, new LinearSite { Name = path, Channels = columns }).Dequantize(), dense);
                four++;
            }
        }

        Assert.True(four >= 7, $"only {four} matrices have 4 bits");
        Assert.Contains("4-bit", Assert.Throws<InvalidOperationException>(() => model.Save(_folder["out"], "{}", TensorType.Float32)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_device_form_of_the_levels_is_the_one_of_the_processor()
    {
        Random random = new(2);
        foreach (var (rows, columns, group) in ((int, int, int)[])[(3, 32, 32), (5, 48, 32), (4, 200, 128), (2, 40, 0), (7, 96, 64), (1, 7, 0)])
        {
            float[] weights = [.. Enumerable.Range(0, rows * columns).Select(_ => (float)(random.NextDouble() - 0.5))];
            QuantizedMatrix matrix = new MatrixQuantizer(new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = group }, null)
                .Quantize("w", weights, rows, columns, new LinearSite { Name = "w", Channels = columns });
            using var scope = NewDisposeScope();
            using FourBitMatrix levels = new(matrix);
            Assert.Equal(matrix.Dequantize(), MemoryMarshal.Cast<byte, float>(levels.Dense(ScalarType.Float32).bytes).ToArray());
            Assert.Equal(matrix.Dequantize(), MemoryMarshal.Cast<byte, float>(levels.Computed(ScalarType.Float32).bytes).ToArray());
        }
    }

    [Theory]
    [InlineData(BaseWeights.BFloat16)]
    [InlineData(BaseWeights.W4A8)]
    public void Gradients_pass_the_weights_that_the_bits_stand_for_and_leave_none_behind(BaseWeights weights)
    {
        string folder = Write("Llama with biases", narrow: true);
        using var model = CausalLanguageModel.Load(folder, weights);
        foreach (var (path, projection) in model.Projections())
        {
            using var scope = NewDisposeScope();
            var input = randn(3, projection.InFeatures).requires_grad_();
            var slope = randn(3, projection.OutFeatures);
            projection.forward(input).mul(slope).sum().backward();
            var expected = slope.mm(projection.Dense(ScalarType.Float32));
            Assert.True(input.grad!.allclose(expected, rtol: 1e-5, atol: 1e-5), path);
            Assert.True(projection.IsFrozen, path);
            Assert.Null(projection.Weight?.grad);
        }

        using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2, Targets = AdapterTargets.AllLinear, UseDora = true, ModulesToSave = ["lm_head"] });
        AdapterKinds.Disturb(adapted);
        using var batch = Prompt();
        TrainingPassTests.Backward(model, batch);
        Assert.All(adapted.Parameters, p => Assert.Contains(TrainingPassTests.Gradient(p), g => g != 0));
        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.grad is null, p.name));
    }

    [Fact]
    public void What_a_base_cannot_hold_is_refused()
    {
        string folder = Write("Llama with biases", narrow: true);
        using (var model = CausalLanguageModel.Load(folder, BaseWeights.W4A8))
        {
            Assert.Contains("PiSSA", Assert.Throws<AdapterException>(() => AdaptedModel.Attach(model, new LoraOptions { Rank = 2, Initialization = LoraInitialization.Pissa })).Message, StringComparison.Ordinal);
            using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2 });
            Assert.Contains("4 or 8 bits", Assert.Throws<InvalidOperationException>(adapted.Merge).Message, StringComparison.Ordinal);
        }

        string ngram = Write("longcat", narrow: true);
        using (var model = CausalLanguageModel.Load(ngram, BaseWeights.BFloat16))
        {
            Assert.Contains("bfloat16", Assert.Throws<AdapterException>(() => AdaptedModel.Attach(model, new LoraOptions { TrainNGramTables = true })).Message, StringComparison.Ordinal);
            using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2 });
            AdapterKinds.Disturb(adapted);
            using var batch = Prompt();
            float[] beside = AdaptedModelTests.Logits(model, batch);
            adapted.Merge();

            // Eight bits of a sum that was computed in float32.
            AdaptedModelTests.Close(beside, AdaptedModelTests.Logits(model, batch), 0.05);
            adapted.Unmerge();
            Assert.Equal(beside, AdaptedModelTests.Logits(model, batch));
        }

        Assert.Contains("W4A8", Assert.Throws<ArgumentException>(() => CausalLanguageModel.Load(folder, BaseWeights.BFloat16, new QuantizationOptions())).Message, StringComparison.Ordinal);
        Assert.Throws<QuantizationException>(() => CausalLanguageModel.Load(folder, BaseWeights.W4A8, new QuantizationOptions()));
        Assert.Throws<ArgumentException>(() => CausalLanguageModel.Load(folder, (BaseWeights)7));
    }

    private static SequenceBatch Prompt() => new([1, 20, 30, 40, 50, 60, 20, 30, 40, 70, 80, 90], 1, 12);

    private string Write(string name, bool narrow) => name == "longcat"
        ? RandomCheckpoint.Write(_folder[name + narrow], new RandomCheckpointOptions { BFloat16 = narrow, Mtp = true })
        : RandomDecoder.Write(_folder[name + narrow], RandomDecoder.Models[name] with { BFloat16 = narrow });
}
