using System.Text.Json.Nodes;

namespace LongCat.ML.ToolTests;

/// <summary>longcat score: every row keeps its place, a bad row keeps the others whole.</summary>
public sealed class ScoreVerbTests(ExportedFolder folder) : IClassFixture<ExportedFolder>
{
    private static readonly string[] Lines =
    [
        """{"id": 1, "text": "first"}""",
        """{"id": 2, "text": null}""",
        "this is no JSON",
        """{"id": 4, "text": ""}""",
        """{"id": 5, "other": "field"}""",
        "",
        """{"id": 6, "text": "第六行 with \"quotes\""}""",
        """{"id": 7, "text": 3}""",
    ];

    [Fact]
    public void Generate_keeps_order_and_bad_rows_keep_their_place()
    {
        JsonObject[] rows = Run(out int exit, "--max-new-tokens", "4");
        Assert.Equal(1, exit);
        Assert.Equal(7, rows.Length);
        Assert.Equal("first", (string?)rows[0]["text"]);
        Assert.NotNull(rows[0]["completion"]);
        Assert.Equal("", (string?)rows[1]["completion"]);
        Assert.Equal(3, (int?)rows[2]["line"]);
        Assert.Contains("line 3", (string?)rows[2]["error"], StringComparison.Ordinal);
        Assert.Equal("", (string?)rows[3]["completion"]);
        Assert.Contains("'text'", (string?)rows[4]["error"], StringComparison.Ordinal);
        Assert.Equal(6, (int?)rows[5]["id"]);
        Assert.NotNull(rows[5]["completion"]);
        Assert.Contains("Number", (string?)rows[6]["error"], StringComparison.Ordinal);
    }

    [Fact]
    public void Score_gives_a_likelihood_and_classify_a_label()
    {
        JsonObject scored = Run(out _, "--mode", "score")[0];
        Assert.True((double)scored["log_likelihood"]! < 0);
        Assert.True((double)scored["perplexity"]! > 1);

        JsonObject labelled = Run(out _, "--mode", "classify", "--label", "a", "--label", "bb")[0];
        Assert.Contains((string)labelled["label"]!, new[] { "a", "bb" });
        Assert.Equal(1, labelled["scores"]!.AsObject().Sum(pair => (double)pair.Value!), 6);
    }

    [Fact]
    public void Rows_in_flight_change_nothing()
    {
        JsonObject[] many = Run(out _, "--max-new-tokens", "6", "--temperature", "0.9", "--seed", "3", "--rows-in-flight", "16");
        JsonObject[] one = Run(out _, "--max-new-tokens", "6", "--temperature", "0.9", "--seed", "3", "--rows-in-flight", "1");
        Assert.Equal(many.Select(row => row.ToJsonString()), one.Select(row => row.ToJsonString()));
    }

    private JsonObject[] Run(out int exit, params string[] arguments)
    {
        string name = Guid.NewGuid().ToString("N");
        string input = folder.File(name + ".jsonl"), output = folder.File(name + ".out.jsonl");
        File.WriteAllLines(input, Lines);
        ToolProcess run = ToolProcess.LongCat(["score", folder.Onnx, "--input", input, "--output", output, .. arguments]);
        Assert.True(File.Exists(output), run.Error);
        Assert.False(File.Exists(output + ".partial"));
        exit = run.ExitCode;
        return [.. File.ReadLines(output).Select(line => JsonNode.Parse(line)!.AsObject())];
    }
}
