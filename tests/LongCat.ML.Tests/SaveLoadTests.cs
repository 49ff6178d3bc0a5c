using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

public sealed class SaveLoadTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    private string Zip => model.FileInRoot("pipeline.zip");

    [Fact]
    public void An_output_may_take_the_name_of_the_column_that_is_read()
    {
        GenerateOptions options = new() { ModelFolder = model.Folder, OutputColumnName = "Text", MaxRowsInFlight = 3 };
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(7));
        ITransformer pipeline = context.LongCat().Generate(options).Fit(data);
        string zip = model.FileInRoot("same.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        string[] expected = [.. Enumerable.Range(0, 7).Select(i => $"<{i} tpmorp>")];
        foreach (ITransformer transformer in new[] { pipeline, context.Model.Load(zip, out _), context.LongCat().Load(zip) })
        {
            IDataView view = transformer.Transform(data);
            Assert.Equal(expected, Texts(view));
            using PredictionEngine<TextRow, TextRow> engine = context.Model.CreatePredictionEngine<TextRow, TextRow>(transformer);
            Assert.Equal(expected[3], engine.Predict(new TextRow { Text = "prompt 3" }).Text);
        }

        // Two cursors over one view, in turns.
        IDataView both = pipeline.Transform(data);
        foreach ((string? first, string? second) in Texts(both).Zip(Texts(both)))
        {
            Assert.Equal(first, second);
        }
    }

    private IEnumerable<string?> Texts(IDataView view) => context.Data.CreateEnumerable<TextRow>(view, false).Select(row => row.Text);

    [Fact]
    public void Plain_load_gives_the_same_outputs()
    {
        TextRow[] rows = [.. CountedRows.Make(20), new TextRow { Id = 20, Text = null }];
        CompletionRow[] expected = SaveAndScore(rows);

        var fresh = new MLContext();
        ITransformer loaded = fresh.Model.Load(Zip, out DataViewSchema schema);
        Assert.Contains(schema, column => column.Name == "Text");
        IDataView view = loaded.Transform(fresh.Data.LoadFromEnumerable(rows));
        AssertSame(expected, fresh, view);
        Assert.DoesNotContain(view.Schema, column => column.Name.StartsWith("LongCat.", StringComparison.Ordinal));
        using PredictionEngine<TextRow, CompletionRow> engine = fresh.Model.CreatePredictionEngine<TextRow, CompletionRow>(loaded);
        Assert.Equal("<ih>", engine.Predict(new TextRow { Text = "hi" }).Completion);
    }

    [Fact]
    public void Loading_through_the_catalog_gives_the_same_outputs_in_batches()
    {
        TextRow[] rows = CountedRows.Make(40);
        CompletionRow[] expected = SaveAndScore(rows);
        context.LongCat().Release();

        var fresh = new MLContext();
        ITransformer loaded = fresh.LongCat().Load(Zip);
        AssertSame(expected, fresh, loaded.Transform(fresh.Data.LoadFromEnumerable(rows)));
        Assert.Equal(10, model.Engine.LargestBatch);
    }

    [Fact]
    public void A_plainly_loaded_pipeline_can_be_batched_and_saved_again()
    {
        TextRow[] rows = CountedRows.Make(10);
        CompletionRow[] expected = SaveAndScore(rows);
        var fresh = new MLContext();
        ITransformer batched = fresh.LongCat().Batched(fresh.Model.Load(Zip, out DataViewSchema schema));
        string again = model.FileInRoot("again.zip");
        fresh.Model.Save(batched, schema, again);
        AssertSame(expected, fresh, new MLContext().LongCat().Load(again).Transform(fresh.Data.LoadFromEnumerable(rows)));
    }

    [Fact]
    public void A_lone_step_and_one_in_the_middle_are_both_recognised()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(6));
        TextTransformer lone = context.LongCat().Generate(model.Folder).Fit(data);
        context.Model.Save(lone, data.Schema, Zip);
        Assert.IsType<TextTransformer>(context.LongCat().Load(Zip));

        ITransformer middle = context.Transforms.CopyColumns("Prompt", "Text")
            .Append(context.LongCat().Generate(model.Folder, inputColumnName: "Prompt"))
            .Append(context.Transforms.DropColumns("Prompt")).Fit(data);
        context.Model.Save(middle, data.Schema, Zip);
        var loaded = Assert.IsType<TransformerChain<ITransformer>>(context.LongCat().Load(Zip));
        Assert.Contains(loaded, step => step is TextTransformer);
        Assert.Equal(6, context.Data.CreateEnumerable<CompletionRow>(loaded.Transform(data), false).Count(row => row.Completion.StartsWith('<')));
    }

    [Fact]
    public void Scopes_of_a_chain_survive_batching()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(3));
        ITransformer chain = context.Transforms.CopyColumns("Prompt", "Text")
            .Append(context.LongCat().Generate(model.Folder))
            .Append(context.Transforms.CopyColumns("OnlyTraining", "Text"), TransformerScope.Training).Fit(data);
        context.Model.Save(chain, data.Schema, Zip);
        ITransformer loaded = context.LongCat().Load(Zip);
        Assert.Null(loaded.GetOutputSchema(data.Schema).GetColumnOrNull("OnlyTraining"));
        Assert.NotNull(loaded.GetOutputSchema(data.Schema).GetColumnOrNull("Completion"));
    }

    [Fact]
    public void Every_step_survives_with_its_settings()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(4));
        const string Awkward = "Кириллица, 中文, \"quotes\", \\slashes\\, {braces}\nand\tlines 😀 ";
        LongCatCatalog catalog = context.LongCat();
        ITransformer pipeline = catalog.Score(new ScoreOptions
            {
                ModelFolder = model.Folder,
                ContinuationColumnName = "Continuation",
                OutputColumnName = "Likelihood",
                PerplexityColumnName = "Perplexity",
                TokenCountColumnName = "Tokens",
                TokenLogLikelihoodsColumnName = "Each",
            })
            .Append(catalog.Embed(model.Folder))
            .Append(catalog.Score(model.Folder, "Whole"))
            .Append(catalog.Classify(new ClassifyOptions
            {
                ModelFolder = model.Folder,
                Labels = ["prompt 1", "other" + Awkward],
                LabelTexts = ["prompt 1", Awkward[..9]],
                PromptTemplate = Awkward[..8] + "{text}",
                OverlongRows = OverlongRow.TruncateLeft,
            }))
            .Append(catalog.Generate(new GenerateOptions { ModelFolder = model.Folder, LogProbabilitiesColumnName = "LogProbabilities", FinishReasonColumnName = null })).Fit(data);
        IDataView expected = pipeline.Transform(data);
        context.Model.Save(pipeline, data.Schema, Zip);

        var fresh = new MLContext();
        AssertSame(expected, fresh.LongCat().Load(Zip).Transform(data), sameTypes: true);
        AssertSame(expected, fresh.Model.Load(Zip, out _).Transform(data), sameTypes: false);
    }

    [Fact]
    public void Moved_weights_are_found_by_content_in_the_named_order()
    {
        TextRow[] rows = CountedRows.Make(3);
        CompletionRow[] expected = SaveAndScore(rows);
        context.LongCat().Release();
        model.MoveTo("elsewhere/renamed");

        ModelNotFoundException lost = Assert.Throws<ModelNotFoundException>(() => Score(Zip, rows));
        Assert.Contains("path stored with the pipeline", lost.Message, StringComparison.Ordinal);
        Assert.Contains("folder of the pipeline's file", lost.Message, StringComparison.Ordinal);
        Assert.Contains(LongCatOptions.ModelsVariable, lost.Message, StringComparison.Ordinal);
        Assert.Contains(AppContext.BaseDirectory, lost.Message, StringComparison.Ordinal);

        LongCatOptions.ModelSearchPath = [model.FileInRoot("elsewhere")];
        Assert.Equal(expected.Select(row => row.Completion), Score(Zip, rows).Select(row => row.Completion));
        context.LongCat().Release();
        LongCatOptions.ModelSearchPath = [];

        Environment.SetEnvironmentVariable(LongCatOptions.ModelsVariable, model.FileInRoot("nowhere") + Path.PathSeparator + model.Folder);
        try
        {
            Assert.Equal(expected.Select(row => row.Completion), Score(Zip, rows).Select(row => row.Completion));
        }
        finally
        {
            Environment.SetEnvironmentVariable(LongCatOptions.ModelsVariable, null);
        }
    }

    [Fact]
    public void Weights_beside_the_pipeline_are_found_by_the_catalog_alone()
    {
        TextRow[] rows = CountedRows.Make(3);
        SaveAndScore(rows);
        context.LongCat().Release();
        model.MoveTo("renamed");

        Assert.Equal(3, Score(Zip, rows).Length);
        context.LongCat().Release();
        var fresh = new MLContext();
        IDataView plain = fresh.Model.Load(Zip, out _).Transform(fresh.Data.LoadFromEnumerable(rows));
        Exception lost = Assert.ThrowsAny<Exception>(() => fresh.Data.CreateEnumerable<CompletionRow>(plain, false).ToArray());
        Assert.IsType<ModelNotFoundException>(lost.Innermost());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Changed_weights_are_refused(bool exportedAgain)
    {
        TextRow[] rows = CountedRows.Make(3);
        SaveAndScore(rows);
        context.LongCat().Release();
        if (exportedAgain)
        {
            FakeModel.Write(model.Folder, "others!");
            Assert.Contains("another model", Assert.Throws<ModelNotFoundException>(() => Score(Zip, rows)).Message, StringComparison.Ordinal);
        }
        else
        {
            File.WriteAllText(Path.Combine(model.Folder, "model.onnx"), "w3ights");
            Assert.Contains("SHA-256", Assert.Throws<Checkpoints.CheckpointException>(() => Score(Zip, rows)).Message, StringComparison.Ordinal);
        }
    }

    private CompletionRow[] SaveAndScore(TextRow[] rows)
    {
        IDataView data = context.Data.LoadFromEnumerable(rows);
        ITransformer pipeline = context.Transforms.CopyColumns("Prompt", "Text")
            .Append(context.LongCat().Generate(new GenerateOptions { ModelFolder = model.Folder, InputColumnName = "Prompt", MaxRowsInFlight = 10 })).Fit(data);
        context.Model.Save(pipeline, data.Schema, Zip);
        return [.. context.Data.CreateEnumerable<CompletionRow>(pipeline.Transform(data), false)];
    }

    private static CompletionRow[] Score(string zip, TextRow[] rows)
    {
        var fresh = new MLContext();
        return [.. fresh.Data.CreateEnumerable<CompletionRow>(fresh.LongCat().Load(zip).Transform(fresh.Data.LoadFromEnumerable(rows)), false)];
    }

    private static void AssertSame(CompletionRow[] expected, MLContext context, IDataView view)
    {
        CompletionRow[] actual = [.. context.Data.CreateEnumerable<CompletionRow>(view, false)];
        Assert.Equal(expected.Select(Key), actual.Select(Key));

        static (int, string, string, string, int, int) Key(CompletionRow row) =>
            (row.Id, row.Text, row.Completion, row.FinishReason, row.PromptTokens, row.CompletionTokens);
    }

    private static void AssertSame(IDataView expected, IDataView actual, bool sameTypes)
    {
        Assert.Equal(expected.Schema.Where(Visible).Select(column => column.Name).Order(), actual.Schema.Where(Visible).Select(column => column.Name).Order());
        DataDebuggerPreview expectedRows = expected.Preview(100);
        DataDebuggerPreview actualRows = actual.Preview(100);
        foreach (DataViewSchema.Column column in expected.Schema.Where(Visible))
        {
            DataViewSchema.Column other = actual.Schema[column.Name];
            if (sameTypes)
            {
                Assert.Equal(column.Type, other.Type);
            }

            Assert.Equal(Values(expectedRows, column), Values(actualRows, other));
        }

        static bool Visible(DataViewSchema.Column column) => !column.IsHidden;
    }

    private static string[] Values(DataDebuggerPreview rows, DataViewSchema.Column column) =>
        [.. rows.RowView.Select(row => row.Values[column.Index].Value switch
        {
            VBuffer<float> vector => string.Join(' ', vector.DenseValues()),
            var value => $"{value}",
        })];
}
