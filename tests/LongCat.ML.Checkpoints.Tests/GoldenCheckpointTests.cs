using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>The LongCat checkpoints of the golden fixtures open, fit their configs, and read as the configs say.</summary>
public sealed class GoldenCheckpointTests
{
    [GoldenTheory]
    [InlineData("longcat-flash", 2, 0, false)]
    [InlineData("longcat-flash-yarn", 1, 0, false)]
    [InlineData("longcat-flash-sharded", 1, 1, false)]
    [InlineData("longcat-flash-bf16", 2, 0, false)]
    [InlineData("longcat-lite", 2, 0, true)]
    [InlineData("longcat-lite-yarn", 1, 0, true)]
    public void A_published_layout_validates(string folder, int layers, int mtpLayers, bool ngram)
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path(folder));
        checkpoint.Validate();
        checkpoint.Validate(withMtp: false);
        LongcatFlashConfig config = Assert.IsType<LongcatFlashConfig>(checkpoint.Config);
        Assert.Equal(layers, config.NumLayers);
        Assert.Equal(mtpLayers, config.MtpLayers);
        Assert.Equal(ngram, config.NGram is not null);
        Assert.Equal([2], config.EosTokenIds);
        Assert.Equal(1, config.BosTokenId);
        Assert.Equal(1e-6, config.LatentNormEps);
        Assert.Equal(folder.Contains("yarn"), config.Rope.Scaling is not null);
    }

    [GoldenFact]
    public void Mtp_tensors_that_are_wanted_and_absent_are_all_listed()
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("longcat-flash"));
        CheckpointException e = Assert.Throws<CheckpointException>(() => checkpoint.Validate(withMtp: true));

        // 17 published tensors, one of which (a copy of the embedding) nothing needs.
        Assert.Contains("16 missing, 0 extra, 0 with the wrong shape", e.Message);
        Assert.Contains("model.mtp.layers.0.eh_proj.weight [64, 128] is missing", e.Message);
    }

    [GoldenFact]
    public void Bf16_and_f32_tensors_read_as_float32()
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path("longcat-flash-bf16"));
        Assert.Equal(TensorType.BFloat16, checkpoint.Entry("lm_head.weight").Type);
        Assert.Equal(TensorType.Float32, checkpoint.Entry("model.layers.0.mlp.router.classifier.weight").Type);
        float[] head = checkpoint.ReadFloat32("lm_head.weight");
        Assert.All(head, v => Assert.Equal(0u, BitConverter.SingleToUInt32Bits(v) & 0xFFFF));
        using MemoryStream stream = new();
        checkpoint.CopyTo("lm_head.weight", TensorType.BFloat16, stream);
        Assert.Equal(checkpoint.GetBytes("lm_head.weight").ToArray(), stream.ToArray());
    }

    [GoldenTheory]
    [InlineData("longcat-flash-sharded", 2)]
    [InlineData("longcat-lite", 1)]
    public void Files_are_open_in_order(string folder, int count)
    {
        using Checkpoint checkpoint = Checkpoint.Open(GoldenFixtures.Path(folder));
        Assert.Equal(count, checkpoint.Files.Count);
        Assert.Equal(checkpoint.Tensors.Count, checkpoint.Files.Sum(f => f.Tensors.Count));
    }
}
