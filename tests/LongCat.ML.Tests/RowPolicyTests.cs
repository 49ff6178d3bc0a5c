using LongCat.ML.Tests.Fakes;
using Microsoft.ML;

namespace LongCat.ML.Tests;

public sealed class RowPolicyTests : IDisposable
{
    private static readonly string Long = string.Concat(Enumerable.Range(0, 60).Select(i => (char)('A' + (i % 26))));

    private readonly MLContext context = new();
    private readonly FakeModel model = new();
    private readonly List<string> log = [];

    public RowPolicyTests() => context.Log += (_, message) => log.Add(message.Message);

    public void Dispose() => model.Dispose();

    [Fact]
    public void Null_and_empty_rows_are_empty_and_lose_nobody()
    {
        CompletionRow[] rows = Complete(new GenerateOptions(), "a", null, "b", "", "c");

        Assert.Equal(["<a>", "", "<b>", "", "<c>"], rows.Select(row => row.Completion));
        Assert.Equal(["stop", "empty", "stop", "empty", "stop"], rows.Select(row => row.FinishReason));
        Assert.Equal([1, 0, 1, 0, 1], rows.Select(row => row.PromptTokens));
        Assert.Equal(3, model.Engine.Started);
    }

    [Fact]
    public void An_overlong_row_fails_by_name()
    {
        RowFailedException failure = Assert.Throws<RowFailedException>(() => Complete(new GenerateOptions(), "a", Long, "b"));
        Assert.Equal((1, "Text"), (failure.Row, failure.Column));
        Assert.Contains("Row 1", failure.Message, StringComparison.Ordinal);
        Assert.Contains("60 tokens do not fit into 40", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_overlong_row_can_be_cut_on_either_side()
    {
        CompletionRow left = Complete(new GenerateOptions { OverlongRows = OverlongRow.TruncateLeft }, Long)[0];
        CompletionRow right = Complete(new GenerateOptions { OverlongRows = OverlongRow.TruncateRight }, Long)[0];
        Assert.Equal($"<{string.Concat(Long[20..].Reverse())}>", left.Completion);
        Assert.Equal($"<{string.Concat(Long[..40].Reverse())}>", right.Completion);
    }

    [Fact]
    public void A_failing_row_can_be_empty_instead()
    {
        CompletionRow[] rows = Complete(new GenerateOptions { FailingRows = FailingRow.Empty }, "a", "boom", "b");
        Assert.Equal(["<a>", "", "<b>"], rows.Select(row => row.Completion));
        Assert.Equal("error", rows[1].FinishReason);
        Assert.Contains(log, message => message.Contains("Row 1", StringComparison.Ordinal) && message.Contains("refuses", StringComparison.Ordinal));
    }

    [Fact]
    public void Rows_before_a_failing_one_are_delivered()
    {
        IDataView view = View(new GenerateOptions(), "a", "b", "boom");
        using IEnumerator<CompletionRow> rows = context.Data.CreateEnumerable<CompletionRow>(view, false).GetEnumerator();
        Assert.True(rows.MoveNext());
        Assert.True(rows.MoveNext());
        Assert.Equal("<b>", rows.Current.Completion);
        Assert.Throws<RowFailedException>(() => rows.MoveNext());
    }

    [Fact]
    public void Opening_a_model_is_told_to_the_log()
    {
        Complete(new GenerateOptions(), "a");
        Assert.Contains(log, message => message.Contains("Opened the model", StringComparison.Ordinal) && message.Contains(model.Folder, StringComparison.Ordinal));
    }

    [Fact]
    public void A_pass_over_the_rows_is_told_to_the_log()
    {
        Complete(new GenerateOptions(), "a", null, "b");
        Assert.Contains(log, message => message.Contains("Kind=Info", StringComparison.Ordinal) && message.Contains("Generate ran 3 rows in", StringComparison.Ordinal));
    }

    private CompletionRow[] Complete(GenerateOptions options, params string?[] texts) =>
        [.. context.Data.CreateEnumerable<CompletionRow>(View(options, texts), false)];

    private IDataView View(GenerateOptions options, params string?[] texts)
    {
        options.ModelFolder = model.Folder;
        IDataView data = context.Data.LoadFromEnumerable(texts.Select(text => new TextRow { Text = text }).ToArray());
        return context.LongCat().Generate(options).Fit(data).Transform(data);
    }
}
