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

    private double MicroAccuracy(IDataView view)
    {
        object catalog = typeof(MLContext).GetProperty("MulticlassClassification")!.GetValue(context)!;
        object metrics = catalog.GetType().GetMethod("Evaluate")!.Invoke(catalog, [view, "Label", "Score", "PredictedLabel", 0])!;
        return (double)metrics.GetType().GetProperty("MicroAccuracy")!.GetValue(metrics)!;
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
