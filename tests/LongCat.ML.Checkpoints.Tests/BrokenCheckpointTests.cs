using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>The broken checkpoints of the golden fixtures: the message carries the facts of EXPECTED.json.</summary>
public sealed class BrokenCheckpointTests(ITestOutputHelper output)
{
    [GoldenTheory]
    [InlineData("truncated", "ends early", "17532", "10519")]
    [InlineData("header-length", "announce a header", "longer than the file")]
    [InlineData("wrong-shape", "model.layers.0.self_attn.0.kv_b_proj.weight has shape [6, 16], the config calls for [16, 6]")]
    [InlineData("missing-tensor", "model.layers.0.self_attn.1.o_proj.weight", "is missing from the checkpoint")]
    [InlineData("size-mismatch", "tensor model.norm.weight: shape [16] F32 needs 64 bytes, the offsets span 56")]
    [InlineData("not-json", "the header is not valid JSON")]
    [InlineData("missing-shard", "the index names model-00002-of-00002.safetensors, which is not there")]
    [InlineData("config-mismatch", "model.layers.0.mlp.router.classifier.weight has shape [3, 16], the config calls for [4, 16]", "model.layers.0.mlp.experts.2.gate_proj.weight [8, 16] is missing")]
    public void A_broken_checkpoint_is_refused_with_its_facts(string folder, params string[] facts)
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => OpenAndValidate(GoldenFixtures.Path("broken", folder)));
        output.WriteLine(e.Message);
        foreach (string fact in facts)
        {
            Assert.Contains(fact, e.Message);
        }

        Assert.Contains(folder, e.File);
    }

    [GoldenFact]
    public void The_good_checkpoint_loads()
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("broken", "good"));
        checkpoint.Validate();
        checkpoint.CheckFinite();
        Assert.Equal(32 * 16, checkpoint.ReadFloat32("lm_head.weight").Length);
    }

    [GoldenFact]
    public void Values_that_are_not_finite_are_found_only_when_asked_for()
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("broken", "nan"));
        checkpoint.Validate();
        CheckpointException e = Assert.Throws<CheckpointException>(() => checkpoint.CheckFinite());
        output.WriteLine(e.Message);
        Assert.Equal("model.layers.0.mlp.router.classifier.weight", e.Tensor);
        Assert.Contains("model.layers.0.mlp.router.classifier.weight holds 1 NaN and 1 infinite", e.Message);
    }

    private static void OpenAndValidate(string folder)
    {
        using Checkpoint checkpoint = Checkpoint.Open(folder);
        checkpoint.Validate();
    }
}
