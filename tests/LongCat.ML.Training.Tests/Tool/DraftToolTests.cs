using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Training.Tests.Tool;

/// <summary><c>longcat-train draft</c> as a process.</summary>
public sealed class DraftToolTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public DraftToolTests()
    {
        RandomCheckpoint.Write(_folder["model"], new RandomCheckpointOptions { Tokenizer = true, Mtp = true, HiddenSize = 24, FfnSize = 32, ExpertSize = 16, NeighborNum = 3, NGramRatio = 1 });
        File.WriteAllLines(_folder["rows.jsonl"], Enumerable.Range(0, 40).Select(i => JsonSerializer.Serialize(new { text = $"row {i % 10} of 10" })));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_head_of_a_checkpoint_is_trained_and_nothing_else()
    {
        var (code, output, error) = Draft("tuned", "--head", "mtp", "--text", "text", "--validation-share", "0.2", "--steps", "6", "--evaluate-every", "3", "--learning-rate", "0.01");
        Assert.True(code == 0, error);
        Assert.Empty(error);
        Assert.Matches("done: 6 steps in .*validation loss [0-9.]+ -> [0-9.]+ ", output);
        using var before = Checkpoint.Open(_folder["model"]);
        using var after = Checkpoint.Open(_folder["tuned"]);
        Assert.Equal(before.Tensors.Keys.Order(), after.Tensors.Keys.Order());
        Assert.Contains("exists; choose another folder", Draft("tuned", "--head", "mtp", "--text", "text").Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("lora", "--rank", "4", "--targets", "eh_proj,o_proj")]
    [InlineData("afa", "--afa-end", "0.5")]
    public void An_adapter_on_the_head_ends_in_a_checkpoint(params string[] method)
    {
        var (code, output, error) = Draft("tuned", ["--head", "mtp", "--text", "text", "--steps", "4", "--learning-rate", "0.01", "--method", .. method]);
        Assert.True(code == 0, error);
        Assert.Contains("done: 4 steps", output, StringComparison.Ordinal);
        using var before = Checkpoint.Open(_folder["model"]);
        using var after = Checkpoint.Open(_folder["tuned"]);
        string[] changed = [.. before.Tensors.Keys.Where(name => !before.GetBytes(name).SequenceEqual(after.GetBytes(name))).Order()];
        Assert.All(changed, name => Assert.StartsWith("model.mtp.layers.0.", name, StringComparison.Ordinal));
        Assert.Equal(method[0] == "lora" ? ["model.mtp.layers.0.eh_proj.weight", "model.mtp.layers.0.self_attn.o_proj.weight"] : changed, changed);
        Assert.False(File.Exists(Path.Combine(_folder["tuned"], "adapter_config.json")));
    }

    [Theory]
    [InlineData("matches no module of the model", 1, "--head", "mtp", "--text", "text", "--method", "lora", "--targets", "attention")]
    [InlineData("--afa needs an adapter; --method full trains the head's own weights", 2, "--head", "mtp", "--text", "text", "--afa", "relu")]
    [InlineData("--base", 2, "--head", "mtp", "--text", "text", "--base", "bf16")]
    [InlineData("--head", 2, "--text", "text")]
    [InlineData("eagle", 2, "--head", "eagle", "--text", "text")]
    [InlineData("the columns given are none", 2, "--head", "mtp")]
    [InlineData("--patience needs rows to evaluate on", 2, "--head", "mtp", "--text", "text", "--patience", "2")]
    [InlineData("--learning-rate is 0, expected a number above 0", 2, "--head", "mtp", "--text", "text", "--learning-rate", "0")]
    public void Wrong_usage_is_named(string expected, int code, params string[] arguments)
    {
        var result = Draft("x", arguments);
        Assert.Equal(code, result.Code);
        Assert.Contains(expected, result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["x"]));
    }

    private (int Code, string Output, string Error) Draft(string output, params string[] arguments) =>
        TrainingTool.Run(["draft", _folder["model"], "--train", _folder["rows.jsonl"], "--output", _folder[output], .. arguments]);
}
