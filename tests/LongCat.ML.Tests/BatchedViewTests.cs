using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

public sealed class BatchedViewTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    [Fact]
    public void Rows_run_together_and_come_out_in_order()
    {
        CompletionRow[] rows = Complete(CountedRows.Make(100), inFlight: 25);

        Assert.Equal(Enumerable.Range(0, 100), rows.Select(row => row.Id));
        Assert.All(rows, row => Assert.Equal($"<{string.Concat($"prompt {row.Id}".Reverse())}>", row.Completion));
        Assert.All(rows, row => Assert.Equal([row.Id, row.Id + 0.5f], row.Features));
        Assert.Equal(25, model.Engine.LargestBatch);

        // One by one the rows would take 100 times 4 steps.
        Assert.InRange(model.Engine.Steps, 16, 100);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(64)]
    public void The_window_does_not_change_the_rows(int inFlight)
    {
        CompletionRow[] rows = Complete(CountedRows.Make(17), inFlight);

        Assert.Equal(Enumerable.Range(0, 17), rows.Select(row => row.Id));
        Assert.All(rows, row => Assert.Equal("stop", row.FinishReason));
        Assert.All(rows, row => Assert.Equal(row.Text.Length, row.PromptTokens));
        Assert.True(model.Engine.LargestBatch <= inFlight);
    }

    [Fact]
    public void The_source_is_read_once_and_never_further_than_the_window()
    {
        var source = new CountedRows(CountedRows.Make(50));
        IDataView view = Fit(source, inFlight: 8).Transform(context.Data.LoadFromEnumerable(source));
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        Assert.True(cursor.MoveNext());
        Assert.Equal(8, source.Read);
        Assert.True(cursor.MoveNext());
        Assert.Equal(9, source.Read);
        while (cursor.MoveNext())
        {
        }

        Assert.Equal(1, source.Enumerations);
        Assert.Equal(50, source.Read);
    }

    [Fact]
    public void Nothing_runs_when_no_column_of_the_step_is_asked_for()
    {
        int opened = FakeModel.Opened;
        var source = new CountedRows(CountedRows.Make(10));
        IDataView view = Fit(source, inFlight: 8).Transform(context.Data.LoadFromEnumerable(source));
        using DataViewRowCursor cursor = view.GetRowCursor([view.Schema["Id"]]);
        ValueGetter<int> id = cursor.GetGetter<int>(view.Schema["Id"]);
        int value = 0;
        for (int i = 0; cursor.MoveNext(); i++)
        {
            id(ref value);
            Assert.Equal(i, value);
            Assert.Equal(i, cursor.Position);
        }

        Assert.Equal(opened, FakeModel.Opened);
        Assert.False(cursor.IsColumnActive(view.Schema["Completion"]));
        Assert.Throws<InvalidOperationException>(() => cursor.GetGetter<ReadOnlyMemory<char>>(view.Schema["Completion"]));
    }

    [Fact]
    public void A_preview_costs_no_more_than_its_rows_and_the_window()
    {
        IDataView view = Fit(null, inFlight: 8).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(1000)));

        DataDebuggerPreview preview = view.Preview(5);

        Assert.Equal(5, preview.RowView.Length);
        Assert.InRange(model.Engine.Started, 5, 4 + 8);
    }

    [Fact]
    public void A_disposed_cursor_cancels_its_rows_and_gives_the_model_back()
    {
        IDataView view = Fit(null, inFlight: 8).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(100)));
        DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        model.Engine.Gate.Reset();
        Assert.True(cursor.MoveNext());
        cursor.Dispose();
        cursor.Dispose();
        model.Engine.Gate.Set();

        Assert.True(SpinWait.SpinUntil(() => model.Engine.Cancelled == 8, 5000), $"{model.Engine.Cancelled} rows were cancelled");
        FakeEngine engine = model.Engine;
        Assert.Equal(1, context.LongCat().Release(model.Folder));
        Assert.True(SpinWait.SpinUntil(() => engine.IsDisposed, 5000), "the model was not closed");
        Assert.False(cursor.MoveNext());
    }

    [Fact]
    public void A_model_in_use_is_closed_when_its_last_cursor_is()
    {
        IDataView view = Fit(null, inFlight: 4).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(9)));
        using (DataViewRowCursor cursor = view.GetRowCursor(view.Schema))
        {
            Assert.True(cursor.MoveNext());
            context.LongCat().Release();
            Assert.False(model.Engine.IsDisposed);
            int rows = 1;
            while (cursor.MoveNext())
            {
                rows++;
            }

            Assert.Equal(9, rows);
        }

        Assert.True(SpinWait.SpinUntil(() => model.Engine.IsDisposed, 5000), "the model was not closed");
    }

    [Fact]
    public void Two_cursors_share_one_engine()
    {
        int opened = FakeModel.Opened;
        IDataView view = Fit(null, inFlight: 4).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(9)));
        CompletionRow[][] both = [Read(view), Read(view)];
        Assert.Equal(both[0].Select(row => row.Completion), both[1].Select(row => row.Completion));
        Assert.Equal(opened + 1, FakeModel.Opened);
    }

    [Fact]
    public void A_getter_read_twice_runs_nothing_twice_and_one_of_the_wrong_type_is_refused()
    {
        IDataView view = Fit(null, inFlight: 4).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(3)));
        DataViewSchema.Column completion = view.Schema["Completion"];
        using DataViewRowCursor cursor = view.GetRowCursor([completion]);
        ValueGetter<ReadOnlyMemory<char>> getter = cursor.GetGetter<ReadOnlyMemory<char>>(completion);
        ReadOnlyMemory<char> text = default;
        Assert.Throws<InvalidOperationException>(() => getter(ref text));
        Assert.True(cursor.MoveNext());
        getter(ref text);
        getter(ref text);
        Assert.Equal("<0 tpmorp>", text.ToString());
        Assert.Equal(3, model.Engine.Started);
        Assert.Throws<InvalidOperationException>(() => cursor.GetGetter<int>(completion));
        while (cursor.MoveNext())
        {
        }

        Assert.Throws<InvalidOperationException>(() => getter(ref text));
    }

    [Fact]
    public void Rows_that_are_left_unread_do_not_pile_up_in_the_engine()
    {
        IDataView view = Fit(null, inFlight: 4).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(100)));
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        ValueGetter<ReadOnlyMemory<char>> completion = cursor.GetGetter<ReadOnlyMemory<char>>(view.Schema["Completion"]);
        model.Engine.Gate.Reset();
        for (int i = 0; i < 20; i++)
        {
            Assert.True(cursor.MoveNext());
        }

        model.Engine.Gate.Set();
        ReadOnlyMemory<char> text = default;
        completion(ref text);
        Assert.Equal("<91 tpmorp>", text.ToString());
        Assert.Equal(19, model.Engine.Cancelled);
        Assert.InRange(model.Engine.LargestBatch, 1, 4);
    }

    [Fact]
    public void Rows_before_a_failure_of_an_earlier_step_are_delivered()
    {
        TextRow[] rows = CountedRows.Make(12);
        rows[5].Text = "boom";
        IDataView data = context.Data.LoadFromEnumerable(rows);
        IDataView first = context.LongCat().Generate(model.Folder, "First").Fit(data).Transform(data);
        IDataView view = context.LongCat().Generate(new GenerateOptions { ModelFolder = model.Folder, InputColumnName = "First", MaxRowsInFlight = 4 }).Fit(first).Transform(first);
        using DataViewRowCursor cursor = view.GetRowCursor([view.Schema["Completion"]]);
        ValueGetter<ReadOnlyMemory<char>> completion = cursor.GetGetter<ReadOnlyMemory<char>>(view.Schema["Completion"]);
        ReadOnlyMemory<char> text = default;
        for (int i = 0; i < 5; i++)
        {
            Assert.True(cursor.MoveNext());
            completion(ref text);
            Assert.Equal($"<>prompt {i}<>", text.ToString());
        }

        Assert.Equal(5, Assert.Throws<RowFailedException>(() => cursor.MoveNext()).Row);

        // The failure does not turn into the end of the data.
        Assert.Throws<RowFailedException>(() => cursor.MoveNext());
    }

    [Fact]
    public void A_view_is_one_cursor_without_shuffling()
    {
        IDataView view = Fit(null, inFlight: 4).Transform(context.Data.LoadFromEnumerable(CountedRows.Make(3)));
        Assert.False(view.CanShuffle);
        DataViewRowCursor[] cursors = view.GetRowCursorSet(view.Schema, 4);
        Assert.Single(cursors);
        cursors[0].Dispose();
    }

    [Fact]
    public void A_prediction_engine_runs_one_row_at_a_time()
    {
        TextTransformer transformer = Fit(null, inFlight: 4);
        using PredictionEngine<TextRow, CompletionRow> engine = context.Model.CreatePredictionEngine<TextRow, CompletionRow>(transformer);
        Assert.Equal("<ih>", engine.Predict(new TextRow { Text = "hi" }).Completion);
        Assert.Equal("<oy>", engine.Predict(new TextRow { Text = "yo" }).Completion);
        CompletionRow empty = engine.Predict(new TextRow { Text = null, Id = 7 });
        Assert.Equal(("", "empty", 7), (empty.Completion, empty.FinishReason, empty.Id));
        Assert.Equal(2, model.Engine.Started);
    }

    [Fact]
    public void Steps_follow_one_another_in_a_pipeline()
    {
        EstimatorChain<TextTransformer> pipeline = context.LongCat().Generate(model.Folder, "First")
            .Append(context.LongCat().Generate(new GenerateOptions
            {
                ModelFolder = model.Folder,
                InputColumnName = "First",
                FinishReasonColumnName = null,
                PromptTokensColumnName = null,
                CompletionTokensColumnName = null,
            }));
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(5));
        CompletionRow[] rows = [.. context.Data.CreateEnumerable<CompletionRow>(pipeline.Fit(data).Transform(data), false)];
        Assert.All(rows, row => Assert.Equal($"<>{row.Text}<>", row.Completion));
    }

    private CompletionRow[] Complete(TextRow[] rows, int inFlight) =>
        Read(Fit(null, inFlight).Transform(context.Data.LoadFromEnumerable(rows)));

    private CompletionRow[] Read(IDataView view) => [.. context.Data.CreateEnumerable<CompletionRow>(view, reuseRowObject: false)];

    private TextTransformer Fit(CountedRows? source, int inFlight) =>
        context.LongCat().Generate(new GenerateOptions { ModelFolder = model.Folder, MaxRowsInFlight = inFlight })
            .Fit(context.Data.LoadFromEnumerable(source ?? (IEnumerable<TextRow>)CountedRows.Make(1)));
}
