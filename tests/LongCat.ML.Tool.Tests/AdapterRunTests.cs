using System.Text.Json;
using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.ToolTests;

/// <summary>The verbs that run a model, with adapters over a plainly exported folder.</summary>
public sealed class AdapterRunTests(ExportedFolder folder, ITestOutputHelper output) : IClassFixture<ExportedFolder>
{
    private string Red => Adapter("red", 1);

    private string Green => Adapter("green", 2);

    [Fact]
    public void Rows_of_score_name_their_adapters()
    {
        string input = folder.File("rows.jsonl"), path = folder.File("scored.jsonl");
        File.WriteAllLines(input, ["""{"text":"one","who":"red"}""", """{"text":"one","who":"green"}""", """{"text":"one","who":null}""", """{"text":"one","who":""}""", """{"text":"one","who":"blue"}""", """{"text":"one"}"""]);
        ToolProcess run = ToolProcess.LongCat("score", folder.Onnx, "-i", input, "-o", path, "--mode", "score", "--adapter", $"red={Red}", "--adapter", $"green={Green}", "--adapter-column", "who");
        Assert.Equal(1, run.ExitCode);
        JsonObject[] rows = [.. File.ReadLines(path).Select(line => JsonNode.Parse(line)!.AsObject())];
        Assert.Equal((double)rows[2]["log_likelihood"]!, (double)rows[3]["log_likelihood"]!);
        Assert.Equal(3, rows.Take(3).Select(row => (double)row["log_likelihood"]!).Distinct().Count());
        Assert.Contains("no adapter has the name 'blue'; the engine has 'red', 'green'", (string?)rows[4]["error"], StringComparison.Ordinal);
        Assert.Contains("'who'", (string?)rows[5]["error"], StringComparison.Ordinal);

        // One adapter serves all rows, and --use chooses among several.
        foreach ((string[] arguments, int same) in new[] { (new[] { "--adapter", Red }, 0), (["--adapter", $"red={Red}", "--adapter", $"green={Green}", "--use", "green"], 1) })
        {
            run = ToolProcess.LongCat(["score", folder.Onnx, "-i", input, "-o", path, "--mode", "score", .. arguments]);
            Assert.True(run.ExitCode == 0, run.Error);
            Assert.All(File.ReadLines(path), line => Assert.Equal((double)rows[same]["log_likelihood"]!, (double)JsonNode.Parse(line)!["log_likelihood"]!));
        }
    }

    [Theory]
    [InlineData("--use is 'blue', expected one of 'red', 'green'", "--adapter", "red=RED", "--adapter", "green=GREEN", "--use", "blue")]
    [InlineData("say which one runs with --use", "--adapter", "red=RED", "--adapter", "green=GREEN")]
    [InlineData("has no name, expected name=folder", "--adapter", "RED", "--adapter", "green=GREEN")]
    [InlineData("gives the name 'red' twice", "--adapter", "red=RED", "--adapter", "red=GREEN")]
    [InlineData("expected a folder or name=folder", "--adapter", "red=")]
    [InlineData("--use is given without --adapter", "--use", "red")]
    public void Contradictions_are_wrong_usage(string expected, params string[] arguments)
    {
        string[] filled = [.. arguments.Select(argument => argument.Replace("RED", Red, StringComparison.Ordinal).Replace("GREEN", Green, StringComparison.Ordinal))];
        ToolProcess run = ToolProcess.LongCat(["generate", folder.Onnx, "--ids", "1,2,3", .. filled]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_an_adapter_is_one_line()
    {
        ToolProcess run = ToolProcess.LongCat("generate", folder.Onnx, "--ids", "1,2,3", "--adapter", folder.Checkpoint);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("adapter_config.json", run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Trim().Split('\n'));
    }

    [GoldenTheory]
    [InlineData("longcat-flash-lora")]
    [InlineData("longcat-flash-dora")]
    public void A_golden_adapter_on_a_plain_export_gives_the_golden_logits_and_ids(string fixture)
    {
        using TemporaryFolder temporary = new();
        string onnx = temporary["onnx"], logits = temporary["logits.safetensors"], golden = GoldenFixtures.Path(fixture, "golden.safetensors");
        ToolProcess export = ToolProcess.LongCat("export", GoldenFixtures.Path("longcat-flash"), "--output", onnx);
        Assert.True(export.ExitCode == 0, export.Error);
        ToolProcess run = ToolProcess.LongCat("logits", onnx, "--ids-file", golden, "--output", logits, "--adapter", GoldenFixtures.Path(fixture));
        Assert.True(run.ExitCode == 0, run.Error);
        using SafetensorsFile expected = SafetensorsFile.Open(golden);
        float[] got = LongCatVerbTests.Logits(logits, out _), wanted = expected.ReadFloat32("logits");
        Assert.Equal(wanted.Length, got.Length);
        float worst = wanted.Zip(got, (left, right) => MathF.Abs(left - right)).Max();

        // The fixtures' own limit for adapters.
        output.WriteLine($"{fixture}: logits differ by {worst:E2}, limit 1e-4");
        Assert.True(worst <= 1e-4f);

        int length = (int)expected.Entry("input_ids").Shape[1];
        string ids = string.Join(',', expected.ReadInt64("input_ids").Take(length));
        run = ToolProcess.LongCat("generate", onnx, "--ids", ids, "--max-new-tokens", "16", "--ignore-eos", "--json", "--adapter", $"mine={GoldenFixtures.Path(fixture)}");
        Assert.True(run.ExitCode == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Output);
        Assert.Equal(expected.ReadInt64("greedy_ids").Take(16), document.RootElement.GetProperty("ids").EnumerateArray().Select(id => id.GetInt64()));
    }

    private string Adapter(string name, int seed)
    {
        string path = folder.File(name);
        return Directory.Exists(path) ? path : RandomAdapter.Write(path, folder.Checkpoint, ["q_a_proj", "o_proj", "kv_b_proj"], seed).Folder;
    }
}
