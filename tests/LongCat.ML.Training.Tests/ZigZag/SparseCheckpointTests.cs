using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tests.ZigZag;

public class SparseCheckpointTests
{
    private static readonly StreamingAttentionConfig s_streaming = new() { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [1] };

    [Fact]
    public void Weights_and_companions_are_the_same_and_only_the_named_keys_change()
    {
        using var folder = new TemporaryFolder();
        string source = RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Tokenizer = true, Mtp = true, BFloat16 = true });
        File.WriteAllText(Path.Combine(source, "chat_template.jinja"), "{{ messages }}");
        File.WriteAllText(Path.Combine(source, "README.md"), "of the original");
        ModelConfig written = SparseCheckpoint.Write(source, s_streaming, new ContextExtension { MaxPositions = 1024 }, folder["sparse"]);
        Assert.Equal(s_streaming, written.Streaming);
        Assert.Equal(1024, written.MaxPositions);
        Assert.Equal(["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"], Directory.GetFiles(folder["sparse"]).Select(Path.GetFileName).Order());
        foreach (string name in (string[])["model.safetensors", "tokenizer.json", "chat_template.jinja"])
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(source, name)), File.ReadAllBytes(Path.Combine(folder["sparse"], name)));
        }

        JsonObject before = Json(source), after = Json(folder["sparse"]);
        Assert.Equal(["max_position_embeddings", "rope_scaling", "streaming_sparse_attention"], after.Select(p => p.Key).Where(key => after[key]?.ToJsonString() != before[key]?.ToJsonString()).Order());
        Assert.Empty(before.Select(p => p.Key).Except(after.Select(p => p.Key)));
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path, ".*"));
    }

    [Fact]
    public void Attentions_that_are_streaming_stay_it_and_another_pattern_is_refused()
    {
        using var folder = new TemporaryFolder();
        string source = RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Layers = 2 });
        SparseCheckpoint.Write(source, s_streaming, null, folder["one"]);
        Assert.Equal([1, 2], SparseCheckpoint.Write(folder["one"], s_streaming with { AttentionLayers = [2] }, null, folder["two"]).Streaming!.AttentionLayers);
        string message = Assert.Throws<ArgumentException>(() => SparseCheckpoint.Write(folder["one"], s_streaming with { LocalBlocks = 3 }, null, folder["three"])).Message;
        Assert.Contains("1 + 2 blocks of 4, and 1 + 3 blocks of 4 are asked for", message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder["three"]));
    }

    [Fact]
    public void What_does_not_fit_leaves_nothing_behind()
    {
        using var folder = new TemporaryFolder();
        string source = RandomCheckpoint.Write(folder["model"]);
        Assert.Contains("2 attentions", Assert.Throws<ArgumentException>(() => SparseCheckpoint.Write(source, s_streaming with { AttentionLayers = [2] }, null, folder["out"])).Message, StringComparison.Ordinal);
        Assert.Throws<CheckpointException>(() => SparseCheckpoint.Write(folder["absent"], s_streaming, null, folder["out"]));
        Assert.Throws<OperationCanceledException>(() => SparseCheckpoint.Write(source, s_streaming, null, folder["out"], new CancellationToken(canceled: true)));
        Assert.Equal(["model"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));
        Directory.CreateDirectory(folder["out"]);
        File.WriteAllText(folder["out/a"], "mine");
        Assert.Contains("holds files", Assert.Throws<CheckpointException>(() => SparseCheckpoint.Write(source, s_streaming, null, folder["out"])).Message, StringComparison.Ordinal);
        Assert.Equal("mine", File.ReadAllText(folder["out/a"]));
        RandomDecoder.Write(folder["mistral"], new RandomDecoderOptions { Architecture = "MistralForCausalLM", Window = 7 });
        Assert.Contains("window", Assert.Throws<ArgumentException>(() => SparseCheckpoint.Write(folder["mistral"], s_streaming, null, folder["other"])).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, 1024, null, null, 4.0, 256)]
    [InlineData(false, 1000, 8.0, null, 8.0, 256)]
    [InlineData(false, 1024, null, 128, 8.0, 128)]
    [InlineData(true, 2560, null, null, 40.0, 64)]
    public void Yarn_is_what_the_numbers_say(bool yarn, int positions, double? factor, int? original, double expectedFactor, int expectedOriginal)
    {
        using var folder = new TemporaryFolder();
        ModelConfig config = ModelConfig.Load(RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Yarn = yarn }));
        RopeScaling scaling = new ContextExtension { MaxPositions = positions, YarnFactor = factor, OriginalPositions = original }.ScalingFor(config);
        Assert.Equal((RopeScalingType.Yarn, expectedFactor, expectedOriginal, 1.0, 1.0), (scaling.Type, scaling.Factor, scaling.OriginalMaxPositions, scaling.MScale, scaling.MScaleAllDim));
        RopeConfig rope = SparseCheckpoint.Write(folder["model"], s_streaming, new ContextExtension { MaxPositions = positions, YarnFactor = factor, OriginalPositions = original }, folder["long"]).Rope;
        Assert.Equal(scaling, rope.Scaling);
    }

    [Fact]
    public void Other_families_get_the_reference_implementations_temperature()
    {
        using var folder = new TemporaryFolder();
        RandomDecoder.Write(folder["model"]);
        RopeConfig rope = SparseCheckpoint.Write(folder["model"], s_streaming, new ContextExtension { MaxPositions = 1024 }, folder["long"]).Rope;
        Assert.Equal((0.1 * Math.Log(4)) + 1, rope.Multiplier, 1e-12);
    }

    [Theory]
    [InlineData(256, null, null, "MaxPositions is 256, expected more than the model's longest sequence now, 256")]
    [InlineData(1024, 3.0, null, "MaxPositions is 1024, expected at most 768")]
    [InlineData(1024, 0.5, null, "YarnFactor is 0.5, expected 1 to 1,000,000")]
    [InlineData(1024, double.NaN, null, "YarnFactor is NaN")]
    [InlineData(1024, null, 0, "OriginalPositions is 0, expected 1 to 1024")]
    [InlineData(1024, null, 2000, "OriginalPositions is 2000")]
    public void An_extension_that_cannot_be_is_refused(int positions, double? factor, int? original, string expected)
    {
        using var folder = new TemporaryFolder();
        ModelConfig config = ModelConfig.Load(RandomCheckpoint.Write(folder["model"]));
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => new ContextExtension { MaxPositions = positions, YarnFactor = factor, OriginalPositions = original }.ScalingFor(config)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Frequencies_of_another_rule_are_refused()
    {
        using var folder = new TemporaryFolder();
        RandomDecoder.Write(folder["model"], new RandomDecoderOptions { Llama3Rope = true });
        Assert.Contains("Llama3", Assert.Throws<ArgumentException>(() => new ContextExtension { MaxPositions = 4096 }.ScalingFor(ModelConfig.Load(folder["model"]))).Message, StringComparison.Ordinal);
    }

    private static JsonObject Json(string folder) => JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject();
}
