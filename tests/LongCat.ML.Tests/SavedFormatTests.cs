using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using LongCat.ML.Tests.Fakes;
using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Tests;

/// <summary>
/// A pipeline with every step, saved in format version 1 and committed: every later version of LongCat.ML must load it and give the same outputs.
/// Its model is found by content hash, and the fake model's files are written from the constants here, so the hash never changes.
/// </summary>
/// <remarks>
/// Never make the committed files anew: where the format grows, add another file beside them. With LONGCAT_UPDATE=1 the test writes the one of the
/// library it runs on (Microsoft.ML, or its stand-in, whose format is its own) where it is missing.
/// </remarks>
public sealed class SavedFormatTests : IDisposable
{
    private const string RealFile = "format-1.microsoft-ml-5.0.0.zip";
    private const string Weights = "the weights of format 1";
    private const string StandInFile = "format-1.stand-in.zip";

    // Bytes as ids, without merges.
    private const string Tokenizer =
        """{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false},"post_processor":null,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","dropout":null,"unk_token":null,"fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"c":2},"merges":[]}}""";

    private static readonly bool IsReal = typeof(MLContext).GetProperty("MulticlassClassification") is not null;
    private readonly FakeModel model = new(Weights);

    public SavedFormatTests()
    {
        File.WriteAllText(Path.Combine(model.Folder, "tokenizer.json"), Tokenizer);
        string zip = Path.Combine(SourceFolder(), IsReal ? RealFile : StandInFile);
        if (Environment.GetEnvironmentVariable("LONGCAT_UPDATE") == "1" && !File.Exists(zip))
        {
            // The path stays in the file: no folder of the machine that makes it. Making it needs the right to write there.
            string folder = Path.Combine(Path.GetPathRoot(Path.GetTempPath())!, "models", "format-1");
            FakeModel.Write(folder, Weights);
            File.WriteAllText(Path.Combine(folder, "tokenizer.json"), Tokenizer);
            File.WriteAllText(Path.Combine(folder, "chat_template.jinja"), "{{ messages }}");
            Save(zip, folder);
            Directory.Delete(folder, recursive: true);
        }
    }

    public void Dispose() => model.Dispose();

    [RealMlNetFact]
    public void A_pipeline_saved_in_format_1_with_the_real_library_gives_the_same_outputs() => AssertLoads(RealFile);

    [TestShared.StandInFact("The file is in the stand-in's own format, which the real library does not read.")]
    public void A_pipeline_saved_in_format_1_with_the_stand_in_gives_the_same_outputs() => AssertLoads(StandInFile);

    private void AssertLoads(string file)
    {
        string zip = Path.Combine(AppContext.BaseDirectory, "Saved", file);
        LongCatOptions.ModelSearchPath = [model.Root];
        foreach (bool plain in new[] { true, false })
        {
            var context = new MLContext();
            ITransformer loaded = plain ? context.Model.Load(zip, out DataViewSchema schema) : context.LongCat().Load(zip, out schema);
            Assert.Equal(["Chars", "Contents", "Heat", "Roles", "Text"], schema.Select(column => column.Name).Order(StringComparer.Ordinal));
            Assert.Equal(Expected, Outputs(loaded.Transform(context.Data.LoadFromEnumerable(Rows()))));
        }
    }

    private static readonly string[] Expected =
    [
        "Prompt: abc | Tokens: 0 1 2 | Completion: <cba> at 0.5, 0, 1, 7 | FinishReason: length | PromptTokens: 3 | CompletionTokens: 3 | LogProbabilities: -0.5 -1 -1.5 | "
        + "Answer: <eurT=kniht|olleh:resu> | Score: -3 | Perplexity: 2.7183 | Count: 3 | Whole: -3 | Each: -1 -1 -1 | PredictedLabel: 2 | Probability: 0.0033 0.9934 0.0033 | "
        + "Embedding: 0.5774 0 0 0 0 0 0 0 0 0.5774 0.5774 | Copy: <cba> at 0.5, 0, 1, 7",
        "Prompt:  | Tokens:  | Completion:  | FinishReason: empty | PromptTokens: 0 | CompletionTokens: 0 | LogProbabilities:  | Answer:  | Score: NaN | Perplexity: NaN | Count: 0 | Whole: NaN | Each:  | "
        + "PredictedLabel: 0 | Probability: NaN NaN NaN | Embedding: NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN | Copy: ",
    ];

    private static readonly string[] Columns =
    [
        "Prompt", "Tokens", "Completion", "FinishReason", "PromptTokens", "CompletionTokens", "LogProbabilities", "Answer",
        "Score", "Perplexity", "Count", "Whole", "Each", "PredictedLabel", "Probability", "Embedding", "Copy",
    ];

    private static string[] Outputs(IDataView view) =>
    [
        .. view.Preview(10).RowView.Select(row => string.Join(" | ", Columns.Select(name => $"{name}: {Text(row.Values.Last(value => value.Key == name).Value)}"))),
    ];

    private static string Text(object value) => value switch
    {
        VBuffer<float> vector => string.Join(' ', vector.DenseValues().Select(item => Text(item))),
        VBuffer<int> vector => string.Join(' ', vector.DenseValues()),
        float single => Math.Round(single, 4).ToString(CultureInfo.InvariantCulture),
        _ => value.ToString()!,
    };

    private static FormatRow[] Rows() =>
    [
        new() { Text = "abc", Chars = "xyz", Heat = 0.5f, Roles = ["user"], Contents = ["hello"] },
        new() { Heat = float.NaN },
    ];

    /// <summary>Everything that the first version can save.</summary>
    private static void Save(string zip, string folder)
    {
        var context = new MLContext();
        LongCatCatalog catalog = context.LongCat();
        IDataView data = context.Data.LoadFromEnumerable(Rows());
        ITransformer pipeline = context.Transforms.CopyColumns("Prompt", "Text")
            .Append(catalog.Tokenize(folder, inputColumnName: "Prompt"))
            .Append(catalog.Generate(new GenerateOptions
            {
                ModelFolder = folder,
                InputColumnName = "Prompt",
                MaxNewTokens = 3,
                Seed = 7,
                TemperatureColumnName = "Heat",
                LogProbabilitiesColumnName = "LogProbabilities",
            }))
            .Append(catalog.Generate(new GenerateOptions
            {
                ModelFolder = folder,
                RolesColumnName = "Roles",
                ContentsColumnName = "Contents",
                ChatVariables = new Dictionary<string, JsonElement> { ["think"] = JsonSerializer.SerializeToElement(true) },
                OutputColumnName = "Answer",
                FinishReasonColumnName = null,
                PromptTokensColumnName = null,
                CompletionTokensColumnName = null,
            }))
            .Append(catalog.Score(new ScoreOptions
            {
                ModelFolder = folder, InputColumnName = "Prompt", ContinuationColumnName = "Chars", PerplexityColumnName = "Perplexity", TokenCountColumnName = "Count",
            }))
            .Append(catalog.Score(new ScoreOptions { ModelFolder = folder, OutputColumnName = "Whole", TokenLogLikelihoodsColumnName = "Each" }))
            .Append(catalog.Classify(new ClassifyOptions
            {
                ModelFolder = folder, Labels = ["первый", "second", "\"third\""], LabelTexts = ["123456", "abc", "ABCDEF"], PromptTemplate = "{text}?\n", ScoreColumnName = "Probability",
            }))
            .Append(catalog.Embed(new EmbedOptions { ModelFolder = folder, InputColumnName = "Text" }))
            .Append(context.Transforms.CopyColumns("Copy", "Completion")).Fit(data);
        context.Model.Save(pipeline, data.Schema, zip);
        File.Copy(zip, Path.Combine(AppContext.BaseDirectory, "Saved", Path.GetFileName(zip)), overwrite: true);
    }

    private static string SourceFolder([CallerFilePath] string file = "") => Path.Combine(Path.GetDirectoryName(file)!, "Saved");

    private sealed class FormatRow
    {
        public string? Text { get; set; }

        public string? Chars { get; set; }

        public float Heat { get; set; }

        public string[] Roles { get; set; } = [];

        public string[] Contents { get; set; } = [];
    }
}
