using System.Text.Json;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tests.Tool;

/// <summary><c>longcat-train zigzag</c> as a process, from the calibration to a fine-tuned sparse model; the blocks have four tokens.</summary>
public sealed class ZigZagToolTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ZigZagToolTests()
    {
        RandomCheckpoint.Write(_folder["model"], new RandomCheckpointOptions { Tokenizer = true, HiddenSize = 24, FfnSize = 32, ExpertSize = 16, NeighborNum = 3, NGramRatio = 1, Layers = 2 });
        var random = new Random(5);
        File.WriteAllLines(_folder["texts.jsonl"], Enumerable.Range(0, 12).Select(_ => JsonSerializer.Serialize(new { text = string.Concat(Enumerable.Range(0, random.Next(4, 9)).Select(i => $"row {random.Next(10)}, ")) })));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Calibrates_applies_and_fine_tunes()
    {
        var (code, output, error) = Calibrate("c", "--steps", "4");
        Assert.True(code == 0, error);
        Assert.Empty(error);
        Assert.Contains("tokens whose prediction depends on alpha; rows of 24 tokens, 4 steps", output, StringComparison.Ordinal);
        Assert.Matches(@"\n        3  model\.layers\.1\.self_attn\.1 +0\.\d{4}  (full|streaming)", output);
        Assert.Equal(2, output.Split('\n').Count(line => line.EndsWith("  streaming", StringComparison.Ordinal)));
        Assert.Equal(["report.html", "zigzag.json"], Directory.GetFiles(_folder["c"]).Select(Path.GetFileName).Order());
        Assert.False(Directory.Exists(_folder["c.state"]));
        Assert.Contains("exists; choose another folder", Calibrate("c", "--steps", "1").Error, StringComparison.Ordinal);

        (code, output, error) = TrainingTool.Run("zigzag", "apply", _folder["model"], "--calibration", _folder["c"], "--output", _folder["sparse"], "--max-positions", "512", "--picture", _folder["alpha.svg"]);
        Assert.True(code == 0, error);

        // The picture is the report's: as many bars of each colour as attentions become streaming and stay full.
        string picture = File.ReadAllText(_folder["alpha.svg"]);
        Assert.Contains(picture, File.ReadAllText(_folder["c/report.html"]), StringComparison.Ordinal);
        Assert.StartsWith("<svg", picture, StringComparison.Ordinal);
        Assert.Contains($"picture: {_folder["alpha.svg"]}", output, StringComparison.Ordinal);
        Assert.Equal(2, output.Split('\n').Count(line => line.EndsWith("  streaming", StringComparison.Ordinal)));
        Assert.Contains("2 of 4 attentions are streaming: 1 first and 2 latest blocks of 4, at most 12 tokens of 512", output, StringComparison.Ordinal);
        var calibration = ZigZagCalibration.Load(_folder["c"]);
        var config = ModelConfig.Load(_folder["sparse"]);
        Assert.Equal(calibration.Choose(0.5), config.Streaming);
        Assert.Equal(2, config.Rope.Scaling!.Factor);

        (code, output, error) = TrainingTool.Run("lora", _folder["sparse"], "--train", _folder["texts.jsonl"], "--text", "text", "--steps", "3", "--columns", "64", "--output", _folder["adapter"], "--threads", "1");
        Assert.True(code == 0, error);
        PeftAdapter.Load(_folder["adapter"]).Dispose();
    }

    [Fact]
    public void Other_choices_need_no_calibration()
    {
        var (code, output, error) = TrainingTool.Run("zigzag", "apply", _folder["model"], "--choose", "alternate", "--block-size", "8", "--output", _folder["a"]);
        Assert.True(code == 0, error);
        Assert.Contains("1 first and 7 latest blocks of 8", output, StringComparison.Ordinal);
        Assert.DoesNotContain("alpha", output, StringComparison.Ordinal);
        Assert.Equal([1, 3], ModelConfig.Load(_folder["a"]).Streaming!.AttentionLayers);
        Assert.Contains("holds files", TrainingTool.Run("zigzag", "apply", _folder["model"], "--choose", "first", "--output", _folder["a"]).Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--choose lowest needs --calibration", 2)]
    [InlineData("--share is 1.2, expected a number above 0, up to 1", 2, "--choose", "first", "--share", "1.2")]
    [InlineData("--share is NaN, expected a number above 0, up to 1", 2, "--choose", "first", "--share", "NaN")]
    [InlineData("less than one: expected 0.25 or more", 1, "--choose", "first", "--share", "0.1")]
    [InlineData("go with --max-positions", 2, "--choose", "first", "--yarn-factor", "4")]
    [InlineData("MaxPositions is 100, expected more than", 1, "--choose", "first", "--max-positions", "100")]
    [InlineData("--picture draws what a calibration found", 2, "--choose", "first", "--picture", "alpha.svg")]
    [InlineData("are the calibration's", 2, "--calibration", "absent", "--block-size", "4")]
    [InlineData("zigzag.json: does not exist; make it with a calibration", 1, "--calibration", "absent/zigzag.json")]
    [InlineData("BlockSize", 1, "--choose", "first", "--block-size", "0")]
    public void Wrong_usage_of_apply_is_one_line_and_leaves_nothing(string expected, int code, params string[] arguments)
    {
        var (actual, _, error) = TrainingTool.Run(["zigzag", "apply", _folder["model"], "--output", _folder["out"], .. arguments]);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
        Assert.Equal(code, actual);
        Assert.False(Directory.Exists(_folder["out"]));
    }

    [Theory]
    [InlineData("too short to tell the patterns apart: the longest of 12 has", 1, "--block-size", "16", "--sink-blocks", "4")]
    [InlineData("the model's longest sequence is 256, the pattern's span is 1024", 1, "--block-size", "128", "--local-blocks", "7")]
    [InlineData("Columns is 12, the pattern's span is 12", 1, "--columns", "12")]
    [InlineData("--alpha is NaN", 2, "--alpha", "NaN")]
    [InlineData("Steps is 0, expected 1 or more", 2, "--steps", "0")]
    [InlineData("there is no field 'other'", 1, "--text", "other")]
    public void Wrong_usage_of_calibrate_is_one_line_and_leaves_nothing(string expected, int code, params string[] arguments)
    {
        var (actual, _, error) = Calibrate("out", arguments);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
        Assert.Equal(code, actual);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path, "*out*"));
    }

    [Fact]
    public void A_folder_or_a_file_that_is_not_there_is_named()
    {
        Assert.Contains("absent", TrainingTool.Run("zigzag", "apply", _folder["absent"], "--choose", "first", "--output", _folder["out"]).Error, StringComparison.Ordinal);
        Assert.Contains("absent.jsonl does not exist", TrainingTool.Run("zigzag", "calibrate", _folder["model"], "--train", _folder["absent.jsonl"], "--output", _folder["out"]).Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));
    }

    private (int Code, string Output, string Error) Calibrate(string name, params string[] arguments)
    {
        string[] pattern = arguments.Contains("--block-size") ? [] : ["--block-size", "4", "--local-blocks", "2"];
        return TrainingTool.Run(["zigzag", "calibrate", _folder["model"], "--train", _folder["texts.jsonl"], "--output", _folder[name], "--threads", "1", .. pattern, .. arguments]);
    }
}
