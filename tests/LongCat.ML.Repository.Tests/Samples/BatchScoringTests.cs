using System.Text.Json;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

public sealed class BatchScoringTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Lines_of_held_out_members_come_out_scored()
    {
        string printed = await SampleProcess.RunAsync(output, "BatchScoring", "12");
        Assert.Contains("Namespace (String)", printed, StringComparison.Ordinal);
        Assert.Contains("12 rows in ", printed, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_of_the_callers_is_scored_line_by_line_in_order()
    {
        using TemporaryFolder folder = new();
        string input = folder["rows.jsonl"];
        string scored = folder["scored.jsonl"];
        string[] members = [.. Enumerable.Range(0, 9).Select(i => $"row {i}")];
        await File.WriteAllLinesAsync(input, members.Select((member, i) => JsonSerializer.Serialize(new
        {
            member,
            signature = i == 4 ? "" : $"List<T>.Insert{i}(int index, T item) method",
            summary = i == 5 ? new string('x', 40_000) : "Inserts an element into the List<T> at the specified index.",
        })));
        await SampleProcess.RunAsync(output, "BatchScoring", input, scored);
        JsonElement[] rows = [.. (await File.ReadAllLinesAsync(scored)).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(members, rows.Select(row => row.GetProperty("member").GetString()));
        Assert.All(rows, row => Assert.InRange(row.GetProperty("probability").GetDouble(), 1.0 / 27, 1));
        Assert.Equal("System.Collections", rows[0].GetProperty("namespace").GetString());
        Assert.NotEqual("", rows[0].GetProperty("completion").GetString());
    }

    [Fact]
    public async Task A_line_that_is_no_row_is_named_and_nothing_is_written_under_the_outputs_name()
    {
        using TemporaryFolder folder = new();
        string input = folder["rows.jsonl"];
        await File.WriteAllLinesAsync(input, ["{\"member\":\"a\",\"signature\":\"Object.Equals(object obj) method\",\"summary\":\"Compares.\"}", "{\"member\": 3}"]);
        (int code, _, string error) = await SampleProcess.StartAsync("BatchScoring", input, folder["scored.jsonl"]);
        output.WriteLine(error);
        Assert.NotEqual(0, code);
        Assert.Contains("rows.jsonl, line 2", error, StringComparison.Ordinal);
        Assert.Equal([input], Directory.GetFiles(folder.Path));
    }
}
