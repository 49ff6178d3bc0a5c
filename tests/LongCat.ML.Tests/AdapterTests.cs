using System.Text;
using LongCat.ML.Checkpoints;
using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

/// <summary>Steps whose rows run with adapters: the step's, or each row's own.</summary>
public sealed class AdapterTests : IDisposable
{
    private readonly MLContext context = new();
    private readonly FakeModel model = new();

    public AdapterTests()
    {
        WriteAdapter("red-folder", 1);
        WriteAdapter("green-folder", 2);
    }

    public void Dispose() => model.Dispose();

    [Fact]
    public void Rows_run_with_their_own_adapters_in_every_way_of_running()
    {
        Row[] rows =
        [
            new() { Text = "a", Adapter = "red", Continuation = "x" }, new() { Text = "b", Adapter = "", Continuation = "y" },
            new() { Text = "c", Adapter = "green", Continuation = "z" }, new() { Text = "", Adapter = "red", Continuation = "w" }, new() { Text = "two\nlines", Adapter = "green", Continuation = "v" },
        ];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        LongCatCatalog catalog = context.LongCat();
        ITransformer pipeline = catalog.Generate(With(new GenerateOptions { ModelFolder = model.Folder, TemperatureColumnName = "Heat" }))
            .Append(catalog.Score(With(new ScoreOptions { ModelFolder = model.Folder, ContinuationColumnName = "Continuation", OutputColumnName = "Likelihood" })))
            .Append(catalog.Embed(With(new EmbedOptions { ModelFolder = model.Folder })))
            .Append(catalog.Classify(With(new ClassifyOptions { ModelFolder = model.Folder, Labels = ["a", "b"], Calibrate = true })))
            .Append(catalog.Generate(new GenerateOptions { ModelFolder = model.Folder, OutputColumnName = "Green", Engine = Settings(), Adapter = "green", FinishReasonColumnName = null, PromptTokensColumnName = null, CompletionTokensColumnName = null }))
            .Fit(data);
        string zip = model.FileInRoot("adapters.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        var fresh = new MLContext();
        foreach (ITransformer transformer in new[] { pipeline, fresh.LongCat().Load(zip), fresh.Model.Load(zip, out _) })
        {
            IDataView view = transformer.Transform(data);
            Assert.DoesNotContain(view.Schema, column => !column.IsHidden && column.Name.StartsWith("LongCat.", StringComparison.Ordinal));
            Out[] scored = [.. context.Data.CreateEnumerable<Out>(view, false)];
            Assert.Equal(["[red]<a>", "<b>", "[green]<c>", "", "[green]<senil\nowt>"], scored.Select(row => row.Completion));
            Assert.Equal(["[green]<a>", "[green]<b>", "[green]<c>", "", "[green]<senil\nowt>"], scored.Select(row => row.Green));

            // The fake engine takes the length of the adapter's name off a likelihood and adds it to an embedding.
            Assert.Equal([-4f, -1f, -6f, -4f, -6f], scored.Select(row => row.Likelihood));
            Assert.Equal([1 + 3f, 1f, 1 + 5f, float.NaN], scored.Take(4).Select(row => row.Embedding.Max()));
            using PredictionEngine<Row, Out> engine = context.Model.CreatePredictionEngine<Row, Out>(transformer);
            Assert.Equal(scored.Select(row => (row.Completion, row.Likelihood, row.Score[0])), rows.Select(row => engine.Predict(row)).Select(row => (row.Completion, row.Likelihood, row.Score[0])));
        }
    }

    [Fact]
    public void A_chat_runs_with_its_rows_adapter()
    {
        model.AddChatTemplate();
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row { Adapter = "red", Roles = ["user"], Contents = ["hi"] } });
        ITransformer pipeline = context.LongCat().Generate(With(new GenerateOptions { ModelFolder = model.Folder, RolesColumnName = "Roles", ContentsColumnName = "Contents" })).Fit(data);
        string zip = model.FileInRoot("chat.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        foreach (ITransformer transformer in new[] { pipeline, context.LongCat().Load(zip), context.Model.Load(zip, out _) })
        {
            Assert.Equal("[red]<ih:resu>", context.Data.CreateEnumerable<Out>(transformer.Transform(data), false, ignoreMissingColumns: true).Single().Completion);
        }
    }

    [Fact]
    public void A_row_with_an_unknown_adapter_fails_by_name_and_no_other()
    {
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row { Text = "a", Adapter = "red" }, new Row { Text = "b", Adapter = "blue" }, new Row { Text = "c", Adapter = "two\nlines" }, new Row { Text = "d" } });
        GenerateOptions options = With(new GenerateOptions { ModelFolder = model.Folder });
        RowFailedException failure = Assert.Throws<RowFailedException>(() => Completions(context.LongCat().Generate(options).Fit(data).Transform(data)));
        Assert.Equal(1, failure.Row);
        Assert.Contains("no adapter has the name 'blue'", failure.Message, StringComparison.Ordinal);
        options.FailingRows = FailingRow.Empty;
        ITransformer forgiving = context.LongCat().Generate(options).Fit(data);
        string zip = model.FileInRoot("unknown.zip");
        context.Model.Save(forgiving, data.Schema, zip);
        foreach (ITransformer transformer in new[] { forgiving, context.Model.Load(zip, out _) })
        {
            Assert.Equal(["[red]<a>", "", "", "<d>"], Completions(transformer.Transform(data)));
        }
    }

    [Fact]
    public void Moved_adapters_are_found_by_content_and_a_missing_one_lists_the_places()
    {
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row { Text = "a", Adapter = "red" } });
        ITransformer pipeline = context.LongCat().Generate(With(new GenerateOptions { ModelFolder = model.Folder })).Fit(data);
        string zip = model.FileInRoot("moved.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        context.LongCat().Release();

        // Another adapter under the old path must not be taken for it.
        string elsewhere = Directory.CreateDirectory(model.FileInRoot("elsewhere")).FullName;
        Directory.Move(model.FileInRoot("red-folder"), Path.Combine(elsewhere, "renamed"));
        WriteAdapter("red-folder", 3);
        Exception lost = Assert.ThrowsAny<Exception>(() => Completions(context.Model.Load(zip, out _).Transform(data))).Innermost();
        Assert.IsType<ModelNotFoundException>(lost);
        foreach (string part in new[] { "The adapter of the pipeline that is named 'red'", "path stored with the pipeline", "holds another adapter", LongCatOptions.ModelsVariable, AppContext.BaseDirectory })
        {
            Assert.Contains(part, lost.Message, StringComparison.Ordinal);
        }

        LongCatOptions.ModelSearchPath = [elsewhere];
        Assert.Equal(["[red]<a>"], Completions(context.Model.Load(zip, out _).Transform(data)));
        context.LongCat().Release();
        LongCatOptions.ModelSearchPath = [];
        Directory.Move(Path.Combine(elsewhere, "renamed"), model.FileInRoot("beside"));
        Assert.Equal(["[red]<a>"], Completions(context.LongCat().Load(zip).Transform(data)));
    }

    [Fact]
    public void Only_pipelines_with_adapters_have_the_format_that_older_versions_refuse()
    {
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row { Text = "a" } });
        foreach ((GenerateOptions options, string version, bool names) in new[]
        {
            (new GenerateOptions { ModelFolder = model.Folder }, "\"format_version\":1", false),
            (new GenerateOptions { ModelFolder = model.Folder, Engine = Settings() }, "\"format_version\":2", true),
        })
        {
            string zip = model.FileInRoot("version.zip");
            context.Model.Save(context.LongCat().Generate(options).Fit(data), data.Schema, zip);
            string json = Configuration(zip);
            Assert.Contains(version, json, StringComparison.Ordinal);
            Assert.Equal(names, json.Contains("dapter", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Engines_are_told_apart_by_what_their_adapters_hold()
    {
        int before = FakeModel.Opened;
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row { Text = "a", Adapter = "red" } });
        Completions(context.LongCat().Generate(With(new GenerateOptions { ModelFolder = model.Folder })).Fit(data).Transform(data));
        Completions(context.LongCat().Generate(new GenerateOptions { ModelFolder = model.Folder, Engine = Settings(), Adapter = "green" }).Fit(data).Transform(data));
        Assert.Equal(1, FakeModel.Opened - before);
        Completions(context.LongCat().Generate(new GenerateOptions { ModelFolder = model.Folder }).Fit(data).Transform(data));
        Assert.Equal(2, FakeModel.Opened - before);
        Assert.Equal(2, context.LongCat().Release(model.Folder));
    }

    [Fact]
    public void Settings_are_equal_where_their_adapters_are()
    {
        Assert.Equal(Settings(), Settings());
        Assert.Equal(Settings().GetHashCode(), Settings().GetHashCode());
        Assert.NotEqual(Settings(), new EngineSettings());
        Assert.NotEqual(Settings(), Settings() with { Adapters = new Dictionary<string, string> { ["red"] = "elsewhere", ["green"] = model.FileInRoot("green-folder") } });
    }

    [Theory]
    [InlineData("blue", null, "Adapter is 'blue'; expected a name of Engine.Adapters, which has 'red', 'green'")]
    [InlineData("red", "Adapter", "AdapterColumnName is 'Adapter', Adapter is 'red'")]
    [InlineData(null, "", "AdapterColumnName is empty")]
    public void Settings_that_contradict_each_other_are_refused(string? adapter, string? column, string expected)
    {
        GenerateOptions options = new() { ModelFolder = model.Folder, Engine = Settings(), Adapter = adapter, AdapterColumnName = column };
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => context.LongCat().Generate(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Adapters_that_nothing_could_run_are_refused()
    {
        Assert.Contains("has none", Assert.Throws<ArgumentException>(() => context.LongCat().Embed(new EmbedOptions { ModelFolder = model.Folder, AdapterColumnName = "Adapter" })).Message, StringComparison.Ordinal);
        Assert.Contains("Tokenize runs no model", Assert.Throws<ArgumentException>(() => context.LongCat().Tokenize(new TokenizeOptions { ModelFolder = model.Folder, Engine = Settings() })).Message, StringComparison.Ordinal);
        EngineSettings missing = new() { Adapters = new Dictionary<string, string> { ["red"] = model.FileInRoot("nowhere") } };
        Assert.Contains("nowhere", Assert.Throws<AdapterException>(() => context.LongCat().Embed(new EmbedOptions { ModelFolder = model.Folder, Engine = missing })).Message, StringComparison.Ordinal);
        EngineSettings blank = new() { Adapters = new Dictionary<string, string> { [" "] = model.FileInRoot("red-folder") } };
        Assert.Contains("under the name ' '", Assert.Throws<ArgumentException>(() => context.LongCat().Embed(new EmbedOptions { ModelFolder = model.Folder, Engine = blank })).Message, StringComparison.Ordinal);
        IDataView data = context.Data.LoadFromEnumerable(new[] { new Row() });
        GenerateOptions wrong = With(new GenerateOptions { ModelFolder = model.Folder });
        wrong.AdapterColumnName = "Heat";
        Assert.Contains("expected text (String), found Single", Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Generate(wrong).Fit(data)).Message, StringComparison.Ordinal);
    }

    private EngineSettings Settings() => new() { Adapters = new Dictionary<string, string> { ["red"] = model.FileInRoot("red-folder"), ["green"] = model.FileInRoot("green-folder") } };

    private T With<T>(T options)
        where T : StepOptions
    {
        options.Engine = Settings();
        options.AdapterColumnName = "Adapter";
        return options;
    }

    private string[] Completions(IDataView view) => [.. context.Data.CreateEnumerable<Out>(view, false, ignoreMissingColumns: true).Select(row => row.Completion)];

    /// <summary>The configuration of the step, wherever the library's file holds it, in characters of one byte or two.</summary>
    private static string Configuration(string zip)
    {
        using System.IO.Compression.ZipArchive archive = System.IO.Compression.ZipFile.OpenRead(zip);
        foreach (System.IO.Compression.ZipArchiveEntry entry in archive.Entries)
        {
            using StreamReader reader = new(entry.Open(), Encoding.Latin1);
            string text = reader.ReadToEnd().Replace("\0", "", StringComparison.Ordinal).Replace("\\\\\"", "\"", StringComparison.Ordinal).Replace("\\u0022", "\"", StringComparison.Ordinal).Replace("\\\"", "\"", StringComparison.Ordinal).Replace("\\", "", StringComparison.Ordinal);
            if (text.Contains("format_version", StringComparison.Ordinal))
            {
                return text;
            }
        }

        throw new InvalidDataException($"{zip} holds no configuration");
    }

    private void WriteAdapter(string name, float value)
    {
        string folder = Directory.CreateDirectory(model.FileInRoot(name)).FullName;
        File.WriteAllText(Path.Combine(folder, "adapter_config.json"), """{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":["q_proj"]}""");
        string file = Path.Combine(folder, "adapter_model.safetensors");
        using SafetensorsWriter writer = SafetensorsWriter.Create(file, [
            new TensorDeclaration("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", TensorType.Float32, [1, 2]),
            new TensorDeclaration("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", TensorType.Float32, [2, 1])]);
        writer.Write("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", [value, value]);
        writer.Write("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", [value, value]);
        writer.Complete();
    }

    private sealed class Row
    {
        public string Text { get; set; } = "";

        public string Adapter { get; set; } = "";

        public string Continuation { get; set; } = "";

        public float Heat { get; set; } = float.NaN;

        public string[] Roles { get; set; } = [];

        public string[] Contents { get; set; } = [];
    }

    private sealed class Out
    {
        public string Completion { get; set; } = "";

        public string Green { get; set; } = "";

        public float Likelihood { get; set; }

        public float[] Embedding { get; set; } = [];

        public float[] Score { get; set; } = [];
    }
}
