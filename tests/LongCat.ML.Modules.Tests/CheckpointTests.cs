using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;

namespace LongCat.ML.Modules.Tests;

public class CheckpointTests
{
    [Fact]
    public void State_names_and_shapes_are_the_published_ones()
    {
        using var model = TinyConfig.Create();
        var expected = model.Config.ExpectedTensors(withMtp: true).ToDictionary(t => t.Name, t => string.Join(",", t.Shape));
        var actual = model.state_dict().ToDictionary(t => t.Key, t => string.Join(",", t.Value.shape));
        Assert.Equal(expected.OrderBy(t => t.Key, StringComparer.Ordinal), actual.OrderBy(t => t.Key, StringComparer.Ordinal));
    }

    [Fact]
    public void Saving_and_loading_brings_every_value_back()
    {
        string folder = Directory.CreateTempSubdirectory("longcat-save").FullName;
        try
        {
            using var model = TinyConfig.Create(seed: 5);
            model.Save(folder, TinyConfig.Json, TensorType.Float32);
            Assert.Equal(["config.json", "model.safetensors"], Directory.GetFiles(folder).Select(Path.GetFileName).Order(StringComparer.Ordinal));
            using var loaded = LongcatFlashForCausalLM.Load(folder);
            var expected = model.state_dict();
            foreach (var (name, value) in loaded.state_dict())
            {
                Assert.True(value.bytes.SequenceEqual(expected[name].bytes), name);
            }

            using var checkpoint = Checkpoint.Open(folder);
            Assert.True(checkpoint.Contains("model.mtp.embed_tokens.weight"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Bfloat16_keeps_the_router_in_float32()
    {
        string folder = Directory.CreateTempSubdirectory("longcat-save").FullName;
        try
        {
            using var model = TinyConfig.Create();
            model.Save(folder, TinyConfig.Json, TensorType.BFloat16);
            using var checkpoint = Checkpoint.Open(folder);
            Assert.Equal(TensorType.BFloat16, checkpoint.Entry("lm_head.weight").Type);
            Assert.Equal(TensorType.Float32, checkpoint.Entry("model.layers.0.mlp.router.classifier.weight").Type);
            using var loaded = LongcatFlashForCausalLM.Load(checkpoint);
            float[] kept = MemoryMarshal.Cast<byte, float>(loaded.state_dict()["lm_head.weight"].bytes).ToArray();
            float[] original = MemoryMarshal.Cast<byte, float>(model.state_dict()["lm_head.weight"].bytes).ToArray();
            for (int i = 0; i < kept.Length; i++)
            {
                Assert.InRange(kept[i], original[i] - Math.Abs(original[i] / 256), original[i] + Math.Abs(original[i] / 256));
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_token_outside_the_vocabulary_is_named()
    {
        using var model = TinyConfig.Create();
        using var batch = new SequenceBatch([1, 50], 1, 2);
        var e = Assert.Throws<ArgumentException>(() => model.Forward(batch));
        Assert.Contains("token 1 of row 0 is 50, expected 0..49", e.Message, StringComparison.Ordinal);
    }
}
