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

    [Fact]
    public void A_line_that_cannot_be_read_or_written_again_is_its_own_failure()
    {
        string input = folder.File("odd.jsonl"), output = folder.File("odd.out.jsonl");
        byte[][] lines =
        [
            [0xEF, 0xBB, 0xBF, .. "{\"text\": \"after a mark of byte order\"}"u8],
            [.. "{\"text\": \"caf"u8, 0xE9, .. "\"}"u8],
            [.. "{\"text\": \"half a pair \\ud83d\"}"u8],
            [.. "{\"text\": \"twice\", \"text\": \"twice\"}"u8],
            [.. "{\"text\": \"fine\", \"error\": \"of the input\"}"u8],
            [.. "{\"text\": \"a \uFFFD of the input\"}"u8],
        ];
        File.WriteAllBytes(input, [.. lines.SelectMany(line => line.Concat("\r\n"u8.ToArray()))]);
        ToolProcess run = ToolProcess.LongCat("score", folder.Onnx, "--input", input, "--output", output, "--max-new-tokens", "2");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("3 of 6 rows failed", run.Error, StringComparison.Ordinal);
        JsonObject[] rows = [.. File.ReadLines(output).Select(line => JsonNode.Parse(line)!.AsObject())];
        Assert.Equal([true, false, false, false, true, true], rows.Select(row => row.ContainsKey("completion")));
        Assert.Contains("UTF-8", (string?)rows[1]["error"], StringComparison.Ordinal);
        Assert.Equal(3, (int?)rows[2]["line"]);
        Assert.Equal("of the input", (string?)rows[4]["error"]);
    }

    [Fact]
    public void An_output_that_is_the_input_a_link_or_a_folder_is_refused_and_kept()
    {
        string input = folder.File("kept.jsonl"), link = folder.File("kept-link.jsonl"), other = folder.File("kept-other.jsonl");
        File.WriteAllLines(input, Lines);
        File.WriteAllLines(other, Lines);
        File.CreateSymbolicLink(link, input);
        Assert.Equal(2, ToolProcess.LongCat("score", folder.Onnx, "--input", input, "--output", input).ExitCode);
        Assert.Equal(2, ToolProcess.LongCat("score", folder.Onnx, "--input", link, "--output", input).ExitCode);
        Assert.Equal(2, ToolProcess.LongCat("score", folder.Onnx, "--input", other, "--output", link).ExitCode);
        Assert.Equal(1, ToolProcess.LongCat("score", folder.Onnx, "--input", other, "--output", folder.Onnx).ExitCode);
        Assert.Equal(Lines, File.ReadAllLines(input));
        Assert.NotNull(new FileInfo(link).LinkTarget);
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
