using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;

namespace LongCat.ML.Modules.Tests;

/// <summary>Names, loading, saving and gradients of the plain decoders.</summary>
public sealed class DecoderCheckpointTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Architectures => [.. RandomDecoder.Architectures];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Architectures))]
    public void State_names_and_shapes_are_the_published_ones(string architecture)
    {
        foreach (bool tied in (bool[])[false, true])
        {
            var config = (DecoderConfig)ModelConfig.Parse(RandomDecoder.Config(new() { Architecture = architecture, Tied = tied, Biases = architecture.StartsWith("Qwen3", StringComparison.Ordinal) }).ToJsonString());
            using var model = CausalLanguageModel.Create(config);
            var expected = config.ExpectedTensors(withMtp: true).ToDictionary(t => t.Name, t => string.Join(",", t.Shape));
            var actual = model.state_dict().ToDictionary(t => t.Key, t => string.Join(",", t.Value.shape));
            Assert.Equal(expected.OrderBy(t => t.Key, StringComparer.Ordinal), actual.OrderBy(t => t.Key, StringComparer.Ordinal));
        }
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Saving_and_loading_brings_every_value_back(string architecture)
    {
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = architecture, Tied = architecture == "Qwen3ForCausalLM" });
        using var model = CausalLanguageModel.Load(_folder["in"]);
        model.Save(_folder["out"], File.ReadAllText(Path.Combine(_folder["in"], "config.json")), TensorType.Float32);
        Assert.Equal(File.ReadAllBytes(Path.Combine(_folder["in"], "model.safetensors")), File.ReadAllBytes(Path.Combine(_folder["out"], "model.safetensors")));
    }

    [Fact]
    public void Bfloat16_keeps_the_routers_in_float32()
    {
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = "MixtralForCausalLM" });
        using var model = CausalLanguageModel.Load(_folder["in"]);
        model.Save(_folder["out"], File.ReadAllText(Path.Combine(_folder["in"], "config.json")), TensorType.BFloat16);
        using var saved = Checkpoint.Open(_folder["out"]);
        saved.Validate();
        Assert.All(saved.Tensors.Values, entry => Assert.Equal(entry.Name.EndsWith(".gate.weight", StringComparison.Ordinal) ? TensorType.Float32 : TensorType.BFloat16, entry.Type));
    }

    [Fact]
    public void A_download_cache_and_a_stored_tied_head_are_loaded()
    {
        string snapshot = Path.Combine(_folder["models--a--b"], "snapshots", "0a1b");
        RandomDecoder.Write(snapshot, new RandomDecoderOptions { Architecture = "Qwen3ForCausalLM", Tied = true });
        using var model = CausalLanguageModel.Load(_folder["models--a--b"]);
        Assert.DoesNotContain("lm_head.weight", model.state_dict().Keys);
    }

    /// <summary>A tied matrix is one parameter that gets the gradients of both of its uses; every other parameter has one too.</summary>
    [Theory]
    [MemberData(nameof(Architectures))]
    public void Every_parameter_has_a_gradient(string architecture)
    {
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = architecture, Tied = true, Experts = 2, Window = 5 });
        using var model = CausalLanguageModel.Load(_folder["in"]);
        using var scope = torch.NewDisposeScope();
        using var batch = new SequenceBatch([1, 7, 8, 9, 7, 8, 9, 2, 1, 7, 8, 30], 1, 12, [0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8]);
        var logits = model.Logits(model.Forward(batch).Hidden);
        long[] targets = [.. batch.InputIds.Skip(1), -100];
        torch.nn.functional.cross_entropy(logits, torch.tensor(targets), ignore_index: -100).backward();
        foreach (var (name, parameter) in model.named_parameters())
        {
            float[] gradient = MemoryMarshal.Cast<byte, float>(parameter.grad!.bytes).ToArray();
            Assert.True(gradient.Any(g => g != 0) && gradient.All(float.IsFinite), name);
        }

        // A row that no token reads still gets the softmax's pull through the head.
        var embedding = model.named_parameters().Single(p => p.name == "model.embed_tokens.weight").parameter;
        Assert.NotEqual(0, MemoryMarshal.Cast<byte, float>(embedding.grad!.bytes)[200 * 48]);
    }

    [Fact]
    public void A_checkpoint_of_another_family_is_refused_by_the_LongCat_class()
    {
        RandomDecoder.Write(_folder["in"]);
        var e = Assert.Throws<CheckpointException>(() => LongcatFlashForCausalLM.Load(_folder["in"]));
        Assert.Contains("architectures[0] is LlamaForCausalLM, expected LongcatFlashForCausalLM", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_token_outside_the_vocabulary_is_named()
    {
        RandomDecoder.Write(_folder["in"]);
        using var model = CausalLanguageModel.Load(_folder["in"]);
        using var batch = new SequenceBatch([1, 272], 1, 2);
        var e = Assert.Throws<ArgumentException>(() => model.Forward(batch));
        Assert.Contains("token 1 of row 0 is 272, expected 0..271", e.Message, StringComparison.Ordinal);
    }
}
