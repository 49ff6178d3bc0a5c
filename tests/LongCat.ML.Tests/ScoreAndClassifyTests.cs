using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

public sealed class ScoreAndClassifyTests : IDisposable
{
    private static readonly string[] Labels = ["sports", "politics", "weather"];

    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    [Fact]
    public void Score_takes_a_continuation()
    {
        ScoreRow[] rows = Score(new ScoreOptions { ContinuationColumnName = "Continuation" }, ("the end", "end"), ("the", "end"), ("the", null), (null, "end"));
        Assert.Equal([-0.3f, -3, float.NaN, -3], rows.Select(row => row.Score));
        Assert.Equal([3, 3, 0, 3], rows.Select(row => row.Tokens));
        Assert.Equal(MathF.E, rows[1].Perplexity, 1e-5);
    }

    [Fact]
    public void Score_without_a_continuation_scores_the_text()
    {
        ScoreRow[] rows = Score(new ScoreOptions(), ("abcd", null), ("", null));
        Assert.Equal([-4, float.NaN], rows.Select(row => row.Score));
        Assert.Equal([4, 0], rows.Select(row => row.Tokens));
        Assert.True(float.IsNaN(rows[1].Perplexity));
    }

    [Fact]
    public void Score_gives_the_likelihood_of_each_token()
    {
        ScoreOptions options = new() { ModelFolder = model.Folder, ContinuationColumnName = "Continuation", TokenLogLikelihoodsColumnName = "Each" };
        TextRow[] rows = [new TextRow { Text = "the end", Continuation = "end" }, new TextRow { Text = "the" }];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        IDataView view = context.LongCat().Score(options).Fit(data).Transform(data);
        Assert.False(Assert.IsType<VectorDataViewType>(view.Schema["Each"].Type).IsKnownSize);
        EachRow[] each = [.. context.Data.CreateEnumerable<EachRow>(view, false)];
        Assert.Equal([-0.1f, -0.1f, -0.1f], each[0].Each);
        Assert.Empty(each[1].Each);
    }

    private sealed class EachRow
    {
        public float[] Each { get; set; } = [];
    }

    [Fact]
    public void Classify_writes_a_key_and_a_vector_of_known_size()
    {
        IDataView view = Classify(new ClassifyOptions(), "bad weather", "", "sports");

        DataViewSchema.Column label = view.Schema["PredictedLabel"];
        Assert.Equal(3ul, Assert.IsType<KeyDataViewType>(label.Type).Count);
        VBuffer<ReadOnlyMemory<char>> names = default;
        label.GetKeyValues(ref names);
        Assert.Equal(Labels, names.DenseValues().Select(name => name.ToString()));
        DataViewSchema.Column score = view.Schema["Score"];
        Assert.Equal(3, Assert.IsType<VectorDataViewType>(score.Type).Size);
        names = default;
        score.GetSlotNames(ref names);
        Assert.Equal(Labels, names.DenseValues().Select(name => name.ToString()));

        LabelRow[] rows = [.. context.Data.CreateEnumerable<LabelRow>(view, false)];
        Assert.Equal([3u, 0u, 1u], rows.Select(row => row.PredictedLabel));
        Assert.Equal(1, rows[0].Score.Sum(), 1e-5);
        Assert.Equal(2, Array.IndexOf(rows[0].Score, rows[0].Score.Max()));
        Assert.All(rows[1].Score, value => Assert.True(float.IsNaN(value)));
    }

    [Fact]
    public void Classify_scores_are_the_softmax_of_the_labels_likelihoods()
    {
        LabelRow row = context.Data.CreateEnumerable<LabelRow>(Classify(new ClassifyOptions { LabelTexts = ["qq", "zz", "vvv"] }, "nothing"), false).Single();
        double[] exponentials = [Math.Exp(-2), Math.Exp(-2), Math.Exp(-3)];
        Assert.Equal(exponentials.Select(value => (float)(value / exponentials.Sum())), row.Score);
        Assert.Equal(1u, row.PredictedLabel);
    }

    [Fact]
    public void Classify_can_normalise_by_length_and_calibrate()
    {
        LabelRow byLength = context.Data.CreateEnumerable<LabelRow>(
            Classify(new ClassifyOptions { LabelTexts = ["qq", "zz", "vvv"], NormalizeByLength = true }, "x"), false).Single();
        Assert.All(byLength.Score, value => Assert.Equal(1 / 3f, value, 1e-6));

        // The template names a label already; calibration takes that away.
        LabelRow[] calibrated = [.. context.Data.CreateEnumerable<LabelRow>(
            Classify(new ClassifyOptions { PromptTemplate = "sports? {text}", Calibrate = true }, "x", "weather"), false)];
        Assert.All(calibrated[0].Score, value => Assert.Equal(1 / 3f, value, 1e-6));
        Assert.Equal(3u, calibrated[1].PredictedLabel);
    }

    [Fact]
    public void A_shape_says_what_the_schema_will_be()
    {
        var shapeOf = context.LongCat().Classify(model.Folder, Labels);
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(1));
        SchemaShape shape = context.Transforms.CopyColumns("Copy", "Text").Append(shapeOf).GetOutputSchema(Shapes.Of(data));
        SchemaShape.Column label = shape.Single(column => column.Name == "PredictedLabel");
        Assert.True(label.IsKey);
        Assert.Contains(label.Annotations, annotation => annotation.Name == "KeyValues");
        SchemaShape.Column score = shape.Single(column => column.Name == "Score");
        Assert.Equal((SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single), (score.Kind, score.ItemType));
        Assert.Contains(shape, column => column.Name == "Text");
        Assert.DoesNotContain(shape, column => column.Name.StartsWith("LongCat.", StringComparison.Ordinal));
    }

    private ScoreRow[] Score(ScoreOptions options, params (string? Text, string? Continuation)[] texts)
    {
        options.ModelFolder = model.Folder;
        options.PerplexityColumnName = "Perplexity";
        options.TokenCountColumnName = "Tokens";
        IDataView data = context.Data.LoadFromEnumerable(texts.Select(row => new TextRow { Text = row.Text, Continuation = row.Continuation }).ToArray());
        return [.. context.Data.CreateEnumerable<ScoreRow>(context.LongCat().Score(options).Fit(data).Transform(data), false)];
    }

    private IDataView Classify(ClassifyOptions options, params string[] texts)
    {
        options.ModelFolder = model.Folder;
        options.Labels = Labels;
        options.OverlongRows = OverlongRow.TruncateLeft;
        IDataView data = context.Data.LoadFromEnumerable(texts.Select(text => new TextRow { Text = text }).ToArray());
        return context.LongCat().Classify(options).Fit(data).Transform(data);
    }
}
