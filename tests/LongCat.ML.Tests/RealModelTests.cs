using LongCat.ML.Engines;
using LongCat.ML.Inference;
using LongCat.ML.Onnx;
using LongCat.ML.Tests.Fakes;
using LongCat.ML.TestShared;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

/// <summary>The whole way with nothing faked: a random checkpoint is exported and its rows run in a pipeline, in memory and saved.</summary>
public sealed class RealModelTests : IClassFixture<RealModelTests.Exported>
{
    private readonly MLContext context = new();
    private readonly Exported model;

    public RealModelTests(Exported model) => this.model = model;

    [Fact]
    public void Batched_rows_equal_rows_one_by_one_and_the_saved_pipeline()
    {
        TextRow[] rows = [.. CountedRows.Make(12), new TextRow { Id = 12 }];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        ITransformer pipeline = context.LongCat().Generate(Options()).Fit(data);
        CompletionRow[] batched = Read(context, pipeline.Transform(data));
        Assert.Equal(Enumerable.Range(0, 13), batched.Select(row => row.Id));
        Assert.Equal("empty", batched[12].FinishReason);
        Assert.All(batched[..12], row => Assert.InRange(row.CompletionTokens, 1, 8));
        Assert.All(batched[..12], row => Assert.Equal(row.Text.Length, row.PromptTokens));

        using (PredictionEngine<TextRow, CompletionRow> engine = context.Model.CreatePredictionEngine<TextRow, CompletionRow>(pipeline))
        {
            Assert.Equal(batched.Select(row => row.Completion), rows.Select(row => engine.Predict(row).Completion));
        }

        string zip = Path.Combine(model.Root, "pipeline.zip");
        context.Model.Save(pipeline, data.Schema, zip);
        context.LongCat().Release();
        var fresh = new MLContext();
        Assert.Equal(batched.Select(row => row.Completion), Read(fresh, fresh.Model.Load(zip, out _).Transform(data)).Select(row => row.Completion));
        Assert.Equal(batched.Select(row => row.Completion), Read(fresh, fresh.LongCat().Load(zip).Transform(data)).Select(row => row.Completion));
    }

    [Fact]
    public void Score_and_classify_agree_with_each_other()
    {
        string[] labels = ["red", "green"];
        IDataView data = context.Data.LoadFromEnumerable(new[] { new TextRow { Text = "apple", Continuation = " red" }, new TextRow { Text = "apple", Continuation = " green" } });
        ScoreRow[] scores = [.. context.Data.CreateEnumerable<ScoreRow>(
            context.LongCat().Score(new ScoreOptions
            {
                ModelFolder = model.Folder,
                ContinuationColumnName = "Continuation",
                PerplexityColumnName = "Perplexity",
                TokenCountColumnName = "Tokens",
            }).Fit(data).Transform(data), false)];
        Assert.Equal([4, 6], scores.Select(row => row.Tokens));
        LabelRow label = context.Data.CreateEnumerable<LabelRow>(context.LongCat().Classify(model.Folder, labels, "{text}").Fit(data).Transform(data), false).First();

        // Both come from the same requests; the softmax is taken in double precision over singles that may differ in their last digit.
        double odds = Math.Exp(scores[0].Score - scores[1].Score);
        Assert.Equal(odds / (1 + odds), label.Score[0], 1e-5);
        Assert.Equal(label.Score[0] > label.Score[1] ? 1u : 2u, label.PredictedLabel);
    }

    [Fact]
    public void A_whole_text_is_scored_from_the_beginning_and_cut_where_asked_for()
    {
        string text = new('x', Exported.MaxPositions + 20);
        IDataView data = context.Data.LoadFromEnumerable(new[] { new TextRow { Text = "hello" }, new TextRow { Text = text } });
        ScoreOptions options = new() { ModelFolder = model.Folder, PerplexityColumnName = "Perplexity", TokenCountColumnName = "Tokens", OverlongRows = OverlongRow.TruncateRight };
        ScoreRow[] rows = [.. context.Data.CreateEnumerable<ScoreRow>(context.LongCat().Score(options).Fit(data).Transform(data), false)];
        Assert.Equal([5, Exported.MaxPositions - 1], rows.Select(row => row.Tokens));
        Assert.All(rows, row => Assert.True(row.Score < 0 && float.IsFinite(row.Perplexity)));

        options.OverlongRows = OverlongRow.Fail;
        IDataView failing = context.LongCat().Score(options).Fit(data).Transform(data);
        RowFailedException failure = Assert.Throws<RowFailedException>(() => context.Data.CreateEnumerable<ScoreRow>(failing, false).ToArray());
        Assert.Equal(1, failure.Row);
    }

    [Fact]
    public void Classify_cuts_the_text_and_keeps_the_template()
    {
        // One token a byte: 6 before the text, 7 behind it, 6 for the longest label; the character at the cut has two.
        const int Room = Exported.MaxPositions - 6 - 7 - 6;
        string right = string.Concat(Enumerable.Range(0, Room - 1).Select(i => (char)('a' + (i % 23))));
        string left = string.Concat(right.Reverse());
        ClassifyOptions options = new() { ModelFolder = model.Folder, Labels = ["red", "green"], PromptTemplate = "Text: {text}\nLabel:" };
        float[][] Scores(params string[] texts)
        {
            IDataView data = context.Data.LoadFromEnumerable(texts.Select(text => new TextRow { Text = text }));
            return [.. context.Data.CreateEnumerable<LabelRow>(context.LongCat().Classify(options).Fit(data).Transform(data), false).Select(row => row.Score)];
        }

        float[][] expected = Scores(right, left);
        options.OverlongRows = OverlongRow.TruncateRight;
        Assert.Equal(expected[0], Scores(right + "é" + new string('z', 200))[0]);
        options.OverlongRows = OverlongRow.TruncateLeft;
        Assert.Equal(expected[1], Scores(new string('z', 200) + "é" + left)[0]);
        Assert.Equal(expected[1], Scores(left)[0]);
    }

    [Fact]
    public void Tokenize_gives_the_bytes()
    {
        IDataView data = context.Data.LoadFromEnumerable(new[] { new TextRow { Text = "hé" }, new TextRow { Text = "" } });
        foreach (string source in new[] { model.Folder, Path.Combine(model.Folder, "tokenizer.json") })
        {
            ITransformer pipeline = context.LongCat().Tokenize(source).Fit(data);
            string zip = Path.Combine(model.Root, "tokens.zip");
            context.Model.Save(pipeline, data.Schema, zip);
            foreach (ITransformer transformer in new[] { pipeline, new MLContext().Model.Load(zip, out _), context.LongCat().Load(zip) })
            {
                var ids = transformer.Transform(data).Preview(2).RowView.Select(row => (VBuffer<int>)row.Values.Single(value => value.Key == "Tokens").Value).ToArray();
                Assert.Equal(System.Text.Encoding.UTF8.GetBytes("hé").Select(value => value + RandomCheckpoint.FirstByteToken), ids[0].DenseValues());
                Assert.Equal(0, ids[1].Length);
            }
        }
    }

    [Fact]
    public void Log_probabilities_and_stop_strings_pass_through()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(2));
        GenerateOptions options = Options();
        options.LogProbabilitiesColumnName = "LogProbabilities";
        IDataView view = context.LongCat().Generate(options).Fit(data).Transform(data);
        foreach (DataDebuggerPreview.RowInfo row in view.Preview(2).RowView)
        {
            var values = row.Values.ToDictionary(value => value.Key, value => value.Value);
            var probabilities = (VBuffer<float>)values["LogProbabilities"];
            Assert.Equal((int)values["CompletionTokens"], probabilities.Length);
            Assert.All(probabilities.DenseValues(), value => Assert.True(value <= 0));
        }

        CompletionRow plain = Read(context, view)[0];
        options.StopStrings = [plain.Completion[..1]];
        CompletionRow stopped = Read(context, context.LongCat().Generate(options).Fit(data).Transform(data))[0];
        Assert.Equal(("", "stop"), (stopped.Completion, stopped.FinishReason));
    }

    [Fact]
    public void Weights_in_huge_pages_complete_the_same_and_the_log_hears_where_there_are_none()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(3));
        string[] expected = [.. Read(context, context.LongCat().Generate(Options()).Fit(data).Transform(data)).Select(row => row.Completion)];
        List<string> log = [];
        context.Log += (_, message) => log.Add(message.Message);
        GenerateOptions options = Options();
        options.Engine = new EngineSettings { WeightPages = WeightPages.Huge };
        Assert.Equal(expected, Read(context, context.LongCat().Generate(options).Fit(data).Transform(data)).Select(row => row.Completion));
        using InferenceEngine engine = InferenceEngine.Load(model.Folder, new EngineOptions { WeightPages = WeightPages.Huge });
        Assert.Equal(engine.Weights.Fallback is not null, log.Any(message => message.Contains("stay in the file mapping", StringComparison.Ordinal)));

        options.Engine = new EngineSettings { WeightPages = (WeightPages)7 };
        Assert.Throws<ArgumentOutOfRangeException>(() => context.LongCat().Generate(options));
    }

    [Fact]
    public void A_gpu_that_is_not_there_falls_back_to_the_cpu_and_says_so()
    {
        var onGpu = new MLContext { GpuDeviceId = 0, FallbackToCpu = true };
        List<string> log = [];
        onGpu.Log += (_, message) => log.Add(message.Message);
        IDataView data = onGpu.Data.LoadFromEnumerable(CountedRows.Make(1));
        Assert.Single(Read(onGpu, onGpu.LongCat().Generate(Options()).Fit(data).Transform(data)));
        Assert.Contains(log, message => message.Contains("Kind=Warning", StringComparison.Ordinal) && message.Contains("runs on the CPU: cuda:0", StringComparison.Ordinal));

        // The engine is loaded: a second step on it has nothing to warn of.
        Read(onGpu, onGpu.LongCat().Generate(Options()).Fit(data).Transform(data));
        Assert.Single(log, message => message.Contains("Kind=Warning", StringComparison.Ordinal));

        onGpu.LongCat().Release();
        onGpu.FallbackToCpu = false;
        InferenceException error = Assert.Throws<InferenceException>(() => Read(onGpu, onGpu.LongCat().Generate(Options()).Fit(data).Transform(data)));
        Assert.Contains("was to run on cuda:0, which MLContext.GpuDeviceId asks for", error.Message, StringComparison.Ordinal);
        Assert.Contains("set MLContext.FallbackToCpu", error.Message, StringComparison.Ordinal);

        // The settings of a step go before the context's.
        GenerateOptions onCpu = Options();
        onCpu.Engine = new EngineSettings { Device = "cpu" };
        Assert.Single(Read(onGpu, onGpu.LongCat().Generate(onCpu).Fit(data).Transform(data)));
    }

    [Fact]
    public async Task Embeddings_are_the_engines_and_the_same_text_has_the_same_in_any_company()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(9).Append(new TextRow { Id = 9, Text = "prompt 3" }));
        float[][] vectors = [.. context.Data.CreateEnumerable<VectorRow>(context.LongCat().Embed(model.Folder).Fit(data).Transform(data), false).Select(row => row.Embedding)];
        using InferenceEngine engine = InferenceEngine.Load(model.Folder);
        for (int i = 0; i < 9; i++)
        {
            float[] expected = (await engine.EmbedAsync(new EmbeddingRequest { Text = $"prompt {i}" })).Vector;

            // Elements of vectors of length 1; float32 sums are grouped otherwise in other batches.
            Assert.All(expected.Zip(vectors[i]), pair => Assert.Equal(pair.First, pair.Second, 1e-5));
        }

        Assert.All(vectors[3].Zip(vectors[9]), pair => Assert.Equal(pair.First, pair.Second, 1e-5));
        Assert.True(vectors[3].Zip(vectors[4], (left, right) => Math.Abs(left - right)).Max() > 1e-3);
    }

    [Fact]
    public void A_chat_is_what_the_folders_template_makes_of_it()
    {
        ChatRow[] rows =
        [
            new() { Roles = ["system", "user"], Contents = ["Be brief.", "What is a List?"] },
            new() { Roles = ["user"], Contents = ["größer?"] },
            new() { Roles = ["user"], Contents = [] },
            new(),
            new() { Roles = ["villain"], Contents = ["hello"] },
        ];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        GenerateOptions options = Options();
        options.RolesColumnName = "Roles";
        options.ContentsColumnName = "Contents";
        options.FailingRows = FailingRow.Empty;
        options.ChatVariables = new Dictionary<string, System.Text.Json.JsonElement> { ["ending"] = System.Text.Json.JsonSerializer.SerializeToElement("!") };
        List<string> log = [];
        context.Log += (_, message) => log.Add(message.Message);
        ITransformer pipeline = context.LongCat().Generate(options).Fit(data);
        string zip = Path.Combine(model.Root, "chat.zip");
        context.Model.Save(pipeline, data.Schema, zip);

        IDataView written = context.Data.LoadFromEnumerable(new[]
        {
            new TextRow { Text = "<s>[system] Be brief.\n[user] What is a List?\n[assistant]!" }, new TextRow { Text = "<s>[user] größer?\n[assistant]!" },
        });
        string[] expected = [.. Read(context, context.LongCat().Generate(Options()).Fit(written).Transform(written)).Select(row => row.Completion)];
        foreach (ITransformer transformer in new[] { pipeline, context.LongCat().Load(zip), new MLContext().Model.Load(zip, out _) })
        {
            CompletionRow[] completed = [.. context.Data.CreateEnumerable<CompletionRow>(transformer.Transform(data), false, ignoreMissingColumns: true)];
            Assert.Equal([.. expected, "", "", ""], completed.Select(row => row.Completion));
            Assert.Equal(["error", "empty", "error"], completed[2..].Select(row => row.FinishReason));
        }

        Assert.Contains(log, message => message.Contains("Row 2", StringComparison.Ordinal) && message.Contains("1 roles and 0 contents", StringComparison.Ordinal));
        Assert.Contains(log, message => message.Contains("Row 4", StringComparison.Ordinal) && message.Contains("villain", StringComparison.Ordinal));
    }

    [Fact]
    public void Rows_have_their_own_number_of_new_tokens_and_seeds()
    {
        SeedRow[] rows = [.. Enumerable.Range(0, 6).Select(i => new SeedRow { Text = "prompt", New = 1 + i, Number = i / 3 })];
        IDataView data = context.Data.LoadFromEnumerable(rows);
        GenerateOptions options = Options();
        options.Temperature = 1;
        options.MaxNewTokensColumnName = "New";
        options.SeedColumnName = "Number";
        options.LogProbabilitiesColumnName = "LogProbabilities";
        IDataView view = context.LongCat().Generate(options).Fit(data).Transform(data);
        LikelyRow[] completed = [.. context.Data.CreateEnumerable<LikelyRow>(view, false)];
        Assert.All(completed.Zip(rows), pair => Assert.InRange(pair.First.CompletionTokens, 1, pair.Second.New));
        Assert.All(completed, row => Assert.Equal(row.CompletionTokens, row.LogProbabilities.Length));

        // The same seed draws the same tokens: a longer completion begins as the shorter one does.
        Assert.Equal(completed[1].LogProbabilities, completed[2].LogProbabilities[..completed[1].CompletionTokens]);
        Assert.NotEqual(completed[2].LogProbabilities[0], completed[5].LogProbabilities[0]);
    }

    [Fact]
    public void Likelihoods_of_tokens_add_up()
    {
        IDataView data = context.Data.LoadFromEnumerable(CountedRows.Make(3));
        ScoreOptions options = new() { ModelFolder = model.Folder, ContinuationColumnName = "Continuation", TokenLogLikelihoodsColumnName = "Each", PerplexityColumnName = "Perplexity" };
        foreach (EachRow row in context.Data.CreateEnumerable<EachRow>(context.LongCat().Score(options).Fit(data).Transform(data), false))
        {
            // Both are singles rounded from the same doubles.
            Assert.Equal(row.Score, row.Each.Sum(value => (double)value), 1e-4);
            Assert.Equal(row.Perplexity, Math.Exp(-row.Each.Average(value => (double)value)), row.Perplexity * 1e-5);
        }
    }

    private sealed class VectorRow
    {
        public float[] Embedding { get; set; } = [];
    }

    private sealed class EachRow
    {
        public float Score { get; set; }

        public float Perplexity { get; set; }

        public float[] Each { get; set; } = [];
    }

    private sealed class ChatRow
    {
        public string[] Roles { get; set; } = [];

        public string[] Contents { get; set; } = [];
    }

    private sealed class SeedRow
    {
        public string Text { get; set; } = "";

        public int New { get; set; }

        public long Number { get; set; }
    }

    private sealed class LikelyRow
    {
        public int CompletionTokens { get; set; }

        public float[] LogProbabilities { get; set; } = [];
    }

    private GenerateOptions Options() => new() { ModelFolder = model.Folder, MaxNewTokens = 8 };

    private static CompletionRow[] Read(MLContext context, IDataView view) => [.. context.Data.CreateEnumerable<CompletionRow>(view, false)];

    /// <summary>The exported model.</summary>
    public sealed class Exported : IDisposable
    {
        public const int MaxPositions = 256;
        private readonly TemporaryFolder folder = new();

        public Exported()
        {
            string checkpoint = RandomCheckpoint.Write(folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true, MaxPositions = MaxPositions });
            File.WriteAllText(
                Path.Combine(checkpoint, "chat_template.jinja"),
                "<s>{% for message in messages %}{% if message.role == 'villain' %}{{ raise_exception('no villain here') }}{% endif %}[{{ message.role }}] {{ message.content }}\n"
                + "{% endfor %}{% if add_generation_prompt %}[assistant]{{ ending }}{% endif %}");
            ExportResult result = new MLContext().LongCat().ExportToOnnx(checkpoint, folder["onnx"]);
            Folder = result.Folder;
        }

        public string Root => folder.Path;

        public string Folder { get; }

        public void Dispose()
        {
            EngineCache.Shared.Release(_ => true);
            folder.Dispose();
        }
    }
}
