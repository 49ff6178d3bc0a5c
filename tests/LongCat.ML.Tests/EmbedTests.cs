using LongCat.ML.Inference;
using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

public sealed class EmbedTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();
    private readonly List<string> log = [];

    public EmbedTests() => context.Log += (_, message) => log.Add(message.Message);

    public void Dispose() => model.Dispose();

    [Theory]
    [InlineData(EmbeddingPooling.Mean, true)]
    [InlineData(EmbeddingPooling.Mean, false)]
    [InlineData(EmbeddingPooling.LastToken, true)]
    public void Texts_become_vectors_of_the_models_size_in_memory_and_however_they_are_loaded(EmbeddingPooling pooling, bool normalize)
    {
        string[] texts = ["a text", "another", "third one"];
        IDataView data = Data(texts);
        ITransformer pipeline = context.LongCat().Embed(new EmbedOptions { ModelFolder = model.Folder, Pooling = pooling, Normalize = normalize }).Fit(data);
        string zip = model.FileInRoot("embed.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        var fresh = new MLContext();
        foreach (ITransformer transformer in new[] { pipeline, fresh.LongCat().Load(zip), fresh.Model.Load(zip, out _) })
        {
            IDataView view = transformer.Transform(data);
            Assert.Equal(FakeEngine.HiddenSize, Assert.IsType<VectorDataViewType>(view.Schema["Embedding"].Type).Size);
            Assert.Equal(texts.Select(text => FakeEngine.Embedding(text, pooling, normalize)), Vectors(view));
            Assert.DoesNotContain(view.Schema, column => !column.IsHidden && column.Name.StartsWith("LongCat.", StringComparison.Ordinal));
            using PredictionEngine<TextRow, VectorRow> engine = context.Model.CreatePredictionEngine<TextRow, VectorRow>(transformer);
            Assert.Equal(FakeEngine.Embedding("one", pooling, normalize), engine.Predict(new TextRow { Text = "one" }).Embedding);
        }
    }

    [Fact]
    public void A_shape_says_what_the_schema_will_be()
    {
        SchemaShape shape = context.Transforms.CopyColumns("Copy", "Text").Append(context.LongCat().Embed(model.Folder, "Vector", "Copy")).GetOutputSchema(Shapes.Of(Data("a")));
        SchemaShape.Column column = shape.Single(other => other.Name == "Vector");
        Assert.Equal((SchemaShape.Column.VectorKind.Vector, NumberDataViewType.Single), (column.Kind, column.ItemType));
    }

    [Fact]
    public void Empty_rows_are_missing_and_so_are_failing_ones_where_that_is_asked_for()
    {
        float[][] vectors = Vectors(Embed(new EmbedOptions { FailingRows = FailingRow.Empty }, "a", null, "boom", "b"));
        Assert.Equal(FakeEngine.Embedding("a", EmbeddingPooling.Mean, normalize: true), vectors[0]);
        Assert.All(vectors[1], value => Assert.True(float.IsNaN(value)));
        Assert.All(vectors[2], value => Assert.True(float.IsNaN(value)));
        Assert.Equal(FakeEngine.HiddenSize, vectors[2].Length);
        Assert.Equal(FakeEngine.Embedding("b", EmbeddingPooling.Mean, normalize: true), vectors[3]);
        Assert.Contains(log, message => message.Contains("Row 2", StringComparison.Ordinal));

        RowFailedException failure = Assert.Throws<RowFailedException>(() => Vectors(Embed(new EmbedOptions(), "a", "boom")));
        Assert.Equal((1, "Text"), (failure.Row, failure.Column));
    }

    [Fact]
    public void An_overlong_row_can_be_cut()
    {
        string text = string.Concat(Enumerable.Range(0, 60).Select(i => (char)('A' + (i % 26))));
        Assert.Equal(FakeEngine.Embedding(text[20..], EmbeddingPooling.Mean, normalize: true), Vectors(Embed(new EmbedOptions { OverlongRows = OverlongRow.TruncateLeft }, text))[0]);
        Assert.Throws<RowFailedException>(() => Vectors(Embed(new EmbedOptions(), text)));
    }

    [Fact]
    public void Many_rows_are_in_the_engine_at_once()
    {
        Vectors(Embed(new EmbedOptions { MaxRowsInFlight = 10 }, [.. Enumerable.Range(0, 40).Select(i => $"text {i}")]));
        Assert.Equal(10, model.Engine.LargestBatch);
    }

    [Fact]
    public void A_saved_size_out_of_range_is_refused()
    {
        ArgumentException exception = Assert.Throws<ArgumentException>(() => new Steps.EmbedStep(new EmbedOptions { ModelFolder = model.Folder }, 65536));
        Assert.Contains("65536", exception.Message, StringComparison.Ordinal);
    }

    private IDataView Data(params string?[] texts) => context.Data.LoadFromEnumerable(texts.Select(text => new TextRow { Text = text }).ToArray());

    private IDataView Embed(EmbedOptions options, params string?[] texts)
    {
        options.ModelFolder = model.Folder;
        IDataView data = Data(texts);
        return context.LongCat().Embed(options).Fit(data).Transform(data);
    }

    private float[][] Vectors(IDataView view) => [.. context.Data.CreateEnumerable<VectorRow>(view, false).Select(row => row.Embedding)];

    private sealed class VectorRow
    {
        public float[] Embedding { get; set; } = [];
    }
}
