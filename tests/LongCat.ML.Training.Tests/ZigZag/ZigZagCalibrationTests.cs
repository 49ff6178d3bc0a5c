using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tests.ZigZag;

public class ZigZagCalibrationTests
{
    private const string Good = """
        {"format_version": 1, "calibration": {"architecture": "LlamaForCausalLM", "num_attentions": 3, "block_size": 4, "sink_blocks": 1, "local_blocks": 2, "initial_alpha": 0.5,
        "steps": 9, "tokens": 100, "attentions": [{"attention": 0, "module": "a", "alpha": 0.5}, {"attention": 2, "module": "b", "alpha": 0.25}]}}
        """;

    [Fact]
    public void A_file_gives_the_pattern_of_the_lowest()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["a.json"], Good);
        var calibration = ZigZagCalibration.Load(folder["a.json"]);
        Assert.Equal(new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [2] }, calibration.Choose(0.5));
        Assert.Equal(9, calibration.Steps);
        RandomDecoder.Write(folder["two layers"]);
        Assert.Contains("LlamaForCausalLM with 3 attentions, the model is LlamaForCausalLM with 2", Assert.Throws<ArgumentException>(() => calibration.Require(ModelConfig.Load(folder["two layers"]))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"format_version\": 1", "\"format_version\": 2", "format_version is 2, expected 1")]
    [InlineData("\"alpha\": 0.25", "\"alpha\": NaN", "cannot be read")]
    [InlineData("\"alpha\": 0.25", "\"alpha\": null", "cannot be read")]
    [InlineData("\"alpha\": 0.25", "\"alpha\": 1e999", "")]
    [InlineData("\"attention\": 2", "\"attention\": 3", "attentions has 3, expected 0 to 2")]
    [InlineData("\"attention\": 2", "\"attention\": 0", "entry 1 is 0")]
    [InlineData("\"attention\": 0", "\"attention\": -1", "entry 0 is -1")]
    [InlineData("\"block_size\": 4", "\"block_size\": 0", "BlockSize")]
    [InlineData("\"local_blocks\": 2, ", "", "local_blocks")]
    [InlineData("\"steps\": 9", "\"steps\": 9, \"other\": 1", "other")]
    [InlineData("{\"format_version\"", "[{\"format_version\"", "cannot be read")]
    public void A_value_that_cannot_be_is_named(string from, string to, string expected)
    {
        using var folder = new TemporaryFolder();
        Assert.Contains(from, Good, StringComparison.Ordinal);
        File.WriteAllText(folder["zigzag.json"], Good.Replace(from, to, StringComparison.Ordinal));
        string message = Assert.Throws<CheckpointException>(() => ZigZagCalibration.Load(folder.Path)).Message;
        Assert.Contains(expected, message, StringComparison.Ordinal);
        Assert.Contains("zigzag.json", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_not_there_says_how_it_is_made()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains("does not exist; make it with a calibration", Assert.Throws<CheckpointException>(() => ZigZagCalibration.Load(folder.Path)).Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => ZigZagCalibration.Load(folder["absent/zigzag.json"])).Message, StringComparison.Ordinal);
    }
}
