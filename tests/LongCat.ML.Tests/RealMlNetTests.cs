using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

/// <summary>A test that only the real Microsoft.ML can pass: the stand-in does not imitate what it looks at.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class RealMlNetFactAttribute : FactAttribute
{
    public RealMlNetFactAttribute()
    {
        if (typeof(MLContext).GetProperty("MulticlassClassification") is null)
        {
            Skip = "needs the real Microsoft.ML package; this build runs on its stand-in (LongCatPackages=standin)";
        }
    }
}

/// <summary>What only ML.NET itself can prove: evaluation, caching, and cursors that it splits and reads ahead with.</summary>
public sealed class RealMlNetTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public void Dispose() => model.Dispose();

    [RealMlNetFact]
    public void Classify_can_be_evaluated_in_memory_and_after_loading()
    {
        // Reflection, because the stand-in has no evaluator to compile against.
        string[] texts = ["sports today", "weather report", "politics", "sports again", ""];
        string[] truth = ["sports", "weather", "politics", "weather", "sports"];
        IDataView data = context.Data.LoadFromEnumerable(texts.Zip(truth, (text, label) => new Labelled { Text = text, Truth = label }).ToArray());
        var keys = context.Data.LoadFromEnumerable(new[] { "sports", "politics", "weather" }.Select(label => new LabelText { Value = label }).ToArray());
        ITransformer pipeline = context.Transforms.Conversion.MapValueToKey("Label", "Truth", keyData: keys)
            .Append(context.LongCat().Classify(model.Folder, ["sports", "politics", "weather"], "{text}:")).Fit(data);
        string zip = model.FileInRoot("classify.zip");
        context.Model.Save(pipeline, data.Schema, zip);

        Assert.Equal(0.75, MicroAccuracy(pipeline.Transform(data)), 1e-6);
        Assert.Equal(0.75, MicroAccuracy(context.LongCat().Load(zip).Transform(data)), 1e-6);

        IDataView plain = context.Model.Load(zip, out _).Transform(data);
        Assert.IsType<KeyDataViewType>(plain.Schema["PredictedLabel"].Type);
        Assert.Equal(
            pipeline.Transform(data).Preview(5).RowView.Select(row => row.Values.Single(value => value.Key == "PredictedLabel").Value),
            plain.Preview(5).RowView.Select(row => row.Values.Single(value => value.Key == "PredictedLabel").Value));
    }

    [RealMlNetFact]
    public void An_evaluation_names_the_labels_and_leaves_out_rows_without_a_prediction()
    {
        string[] labels = ["sports", "politics", "weather"];
        IDataView data = context.Data.LoadFromEnumerable(new[]
        {
            new Labelled { Text = "sports", Truth = "sports" }, new Labelled { Text = "weather", Truth = "weather" }, new Labelled { Text = "weather", Truth = "politics" }, new Labelled { Truth = "sports" },
        });
        var keys = context.Data.LoadFromEnumerable(labels.Select(label => new LabelText { Value = label }).ToArray());
        ITransformer pipeline = context.Transforms.Conversion.MapValueToKey("Label", "Truth", keyData: keys).Append(context.LongCat().Classify(model.Folder, labels, "{text}:")).Fit(data);
        object metrics = Evaluate(pipeline.Transform(data));
        object matrix = metrics.GetType().GetProperty("ConfusionMatrix")!.GetValue(metrics)!;
        var counts = (IReadOnlyList<IReadOnlyList<double>>)matrix.GetType().GetProperty("Counts")!.GetValue(matrix)!;
        Assert.Equal([[1, 0, 0], [0, 0, 1], [0, 0, 1]], counts.Select(row => row.ToArray()));
        string table = (string)matrix.GetType().GetMethod("GetFormattedConfusionTable")!.Invoke(matrix, null)!;
        Assert.All(labels, label => Assert.Contains(label, table, StringComparison.Ordinal));

        // What the scores say of the true labels.
        double[] likely = [.. context.Data.CreateEnumerable<LabelRow>(pipeline.Transform(data), false).Zip(new[] { 0, 2, 1 }, (row, truth) => (double)row.Score[truth])];
        Assert.Equal(-likely.Average(Math.Log), (double)metrics.GetType().GetProperty("LogLoss")!.GetValue(metrics)!, 1e-6);
    }

    [RealMlNetFact]
    public void An_estimator_that_needs_vectors_of_known_size_may_follow_an_embedding_however_the_pipeline_is_loaded()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(30));
        var scale = (IEstimator<ITransformer>)Type.GetType("Microsoft.ML.NormalizationCatalog, Microsoft.ML.Transforms", throwOnError: true)!
            .GetMethod("NormalizeMinMax", [typeof(TransformsCatalog), typeof(string), typeof(string), typeof(long), typeof(bool)])!
            .Invoke(null, [context.Transforms, "Scaled", "Embedding", 1000L, false])!;
        ITransformer pipeline = context.LongCat().Embed(model.Folder).Append(scale).Fit(data);
        string zip = model.FileInRoot("scaled.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        float[][] expected = Scaled(pipeline);
        Assert.Equal((0, 1), (expected.SelectMany(row => row).Min(), expected.SelectMany(row => row).Max()));
        Assert.Equal(expected, Scaled(context.LongCat().Load(zip)));
        Assert.Equal(expected, Scaled(new MLContext().Model.Load(zip, out _)));

        float[][] Scaled(ITransformer transformer) => [.. context.Data.CreateEnumerable<ScaledRow>(transformer.Transform(data), false).Select(row => row.Scaled)];
    }

    [RealMlNetFact]
    public void Transforms_that_split_their_input_run_the_model_once_per_row_and_keep_the_order()
    {
        var source = new CountedRows(CountedRows.Make(200));
        IDataView data = context.Data.LoadFromEnumerable(source);
        ITransformer pipeline = context.LongCat().Generate(model.Folder)
            .Append(context.Transforms.CustomMapping<CompletionText, CompletionLength>((row, length) => length.Length = row.Completion.Length, contractName: null)).Fit(data);
        CompletionRow[] rows = [.. context.Data.CreateEnumerable<CompletionRow>(pipeline.Transform(data), false)];
        Assert.Equal(Enumerable.Range(0, 200), rows.Select(row => row.Id));
        Assert.Equal(1, source.Enumerations);
        Assert.Equal(200, model.Engine.Started);
    }

    [RealMlNetFact]
    public void A_cache_after_the_step_runs_the_model_once_however_often_it_is_read()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(30));
        IDataView view = context.LongCat().Generate(model.Folder).Fit(data).Transform(data);
        object cached = typeof(DataOperationsCatalog).GetMethod("Cache")!.Invoke(context.Data, [view, new[] { "Id", "Completion" }])!;
        for (int pass = 0; pass < 3; pass++)
        {
            Assert.Equal(30, context.Data.CreateEnumerable<CompletionText>((IDataView)cached, false).Count(row => row.Completion.StartsWith('<')));
        }

        Assert.Equal(30, model.Engine.Started);
    }

    private object Evaluate(IDataView view)
    {
        object catalog = typeof(MLContext).GetProperty("MulticlassClassification")!.GetValue(context)!;
        return catalog.GetType().GetMethod("Evaluate")!.Invoke(catalog, [view, "Label", "Score", "PredictedLabel", 0])!;
    }

    private double MicroAccuracy(IDataView view)
    {
        object metrics = Evaluate(view);
        return (double)metrics.GetType().GetProperty("MicroAccuracy")!.GetValue(metrics)!;
    }

    private sealed class ScaledRow
    {
        public float[] Scaled { get; set; } = [];
    }

    private sealed class Labelled
    {
        public string Text { get; set; } = "";

        public string Truth { get; set; } = "";
    }

    private sealed class LabelText
    {
        public string Value { get; set; } = "";
    }

    private sealed class CompletionText
    {
        public string Completion { get; set; } = "";
    }

    private sealed class CompletionLength
    {
        public int Length { get; set; }
    }
}
