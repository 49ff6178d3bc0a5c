using LongCat.ML.Inference;
using LongCat.ML.TestShared;
using Microsoft.ML;

namespace LongCat.ML.Tests;

/// <summary>Rows with adapters of their own, with nothing faked: what the engine itself says of them, in a pipeline in memory and saved.</summary>
public sealed class RealAdapterTests(RealModelTests.Exported model) : IClassFixture<RealModelTests.Exported>
{
    private readonly MLContext context = new();

    [Fact]
    public async Task Rows_run_with_the_adapters_that_they_name()
    {
        string checkpoint = Path.Combine(model.Root, "checkpoint");
        Dictionary<string, string> adapters = new()
        {
            ["red"] = RandomAdapter.Write(Path.Combine(model.Root, "red"), checkpoint, ["q_a_proj", "o_proj"], seed: 1).Folder,
            ["green"] = RandomAdapter.Write(Path.Combine(model.Root, "green"), checkpoint, ["mlps.0.up_proj", "kv_b_proj"], seed: 2, dora: true).Folder,
        };
        string[] names = ["", "red", "green"];
        Row[] rows = [.. Enumerable.Range(0, 12).Select(i => new Row { Text = $"prompt {i / 6}", Who = names[i % 3] })];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        ITransformer pipeline = context.LongCat().Score(new ScoreOptions
        {
            ModelFolder = model.Folder,
            Engine = new EngineSettings { Adapters = adapters, Threads = 1 },
            AdapterColumnName = "Who",
        }).Fit(data);
        string zip = Path.Combine(model.Root, "adapters.zip");
        context.Model.Save(pipeline, data.Schema, zip);

        using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { Adapters = adapters, Threads = 1 });
        List<float> expected = [];
        foreach (Row row in rows)
        {
            ScoreRequest request = new() { PromptIds = [RandomCheckpoint.BosTokenId], ContinuationIds = [.. engine.Tokenizer!.Encode(row.Text, addSpecialTokens: false)] };
            expected.Add((float)(await engine.ScoreAsync(request with { Adapter = row.Who.Length == 0 ? null : row.Who })).LogLikelihood);
        }

        Assert.Equal(6, expected.Distinct().Count());
        foreach (ITransformer transformer in new[] { pipeline, context.LongCat().Load(zip), context.Model.Load(zip, out _) })
        {
            Assert.Equal(expected, context.Data.CreateEnumerable<Scored>(transformer.Transform(data), false).Select(row => row.Score));
        }
    }

    [Fact]
    public void An_adapter_of_another_model_is_refused_when_the_first_row_is_read()
    {
        string other = RandomDecoder.Write(Path.Combine(model.Root, "other"));
        EngineSettings settings = new() { Adapters = new Dictionary<string, string> { ["red"] = RandomAdapter.Write(Path.Combine(model.Root, "foreign"), other, ["q_proj"]).Folder } };
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row { Text = "a" } });
        ITransformer pipeline = context.LongCat().Score(new ScoreOptions { ModelFolder = model.Folder, Engine = settings, Adapter = "red" }).Fit(data);
        InferenceException error = Assert.Throws<InferenceException>(() => context.Data.CreateEnumerable<Scored>(pipeline.Transform(data), false).ToArray());
        Assert.Contains("'red'", error.Message, StringComparison.Ordinal);
        Assert.Contains("takes no adapter of 2 of its 2 modules", error.Message, StringComparison.Ordinal);
    }

    private sealed class Row
    {
        public string Text { get; set; } = "";

        public string Who { get; set; } = "";
    }

    private sealed class Scored
    {
        public float Score { get; set; }
    }
}
