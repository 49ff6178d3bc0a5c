using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Tests.Fakes;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.Tests.FineTuning;
using LongCat.ML.Training.ZigZag;
using Microsoft.ML;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Training.Tests.Estimators;

/// <summary>The trainer in ML.NET; its blocks have four tokens, which are bytes.</summary>
[Collection(OneTrainerAtATime.Name)]
public sealed class ZigZagEstimatorTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly MLContext context = new(seed: 1);
    private readonly string checkpoint;

    public ZigZagEstimatorTests() => checkpoint = RandomCheckpoint.Write(folder["model"], new RandomCheckpointOptions { Tokenizer = true, Layers = 2, NGram = false });

    public void Dispose()
    {
        new MLContext().LongCat().Release();
        folder.Dispose();
    }

    [Fact]
    public void Calibrates_chooses_and_generates()
    {
        List<FineTuningStep> steps = [];
        ZigZagTrainerOptions options = Options();
        options.Extension = new ContextExtension { MaxPositions = 1024 };
        ZigZagTransformer sparse = context.LongCat().Trainers.ZigZag(options).Fit(View(9), View(3), new Collector(steps));
        Assert.Equal(["checkpoint", "onnx", "report.html", "zigzag.json"], Directory.GetFileSystemEntries(sparse.Folder).Select(Path.GetFileName).Order());
        Assert.Equal([.. steps], sparse.Report.Steps);
        Assert.Equal(3, steps.Count);
        Assert.Equal((9, 3, 0), (sparse.Report.TrainingRows, sparse.Report.ValidationRows, sparse.Report.UnusableRows));
        Assert.True(double.IsFinite(sparse.Report.CalibrationRun.ValidationLoss!.Value));
        Assert.Null(sparse.AdapterFolder);
        ModelConfig config = ModelConfig.Load(sparse.CheckpointFolder);
        Assert.Equal(sparse.Report.Calibration.Choose(0.5), config.Streaming);
        Assert.Equal(sparse.Report.Streaming, config.Streaming);
        Assert.Equal(1024, config.MaxPositions);
        Assert.Equal(ZigZagCalibration.Load(sparse.Folder).Attentions, sparse.Report.Calibration.Attentions);
        Assert.Contains("α of each attention", File.ReadAllText(sparse.Report.HtmlPath), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path, ".*"));

        // The same seed gives the same α, and a saved pipeline runs the same model.
        options.OutputFolder = folder["again"];
        Assert.Equal(sparse.Report.Calibration.Attentions, context.LongCat().Trainers.ZigZag(options).Fit(View(9), View(3)).Report.Calibration.Attentions);
        string[] written = Completions(sparse);
        Assert.Equal(Greedy(sparse.CheckpointFolder), written);
        context.Model.Save(sparse, View(1).Schema, folder["pipeline.zip"]);
        Assert.Equal(written, Completions(context.LongCat().Load(folder["pipeline.zip"])));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Fine_tuning_follows_with_an_adapter_or_all_weights(bool adapter)
    {
        ZigZagTrainerOptions options = Options();
        options.FineTuning = new FineTuningOptions { Lora = adapter ? new LoraOptions() : null, Steps = 4, BatchRows = 2, Columns = 48, LearningRate = 1e-2, EvaluateEvery = 0, Threads = 1 };
        ZigZagTransformer sparse = context.LongCat().Trainers.ZigZag(options).Fit(View(6));
        string[] expected = adapter ? ["adapter", "checkpoint", "fine-tuning.html", "onnx", "report.html", "zigzag.json"] : ["checkpoint", "fine-tuning.html", "onnx", "report.html", "zigzag.json"];
        Assert.Equal(expected, Directory.GetFileSystemEntries(sparse.Folder).Select(Path.GetFileName).Order());
        Assert.Equal(7, sparse.Report.Steps.Count);
        Assert.Equal(4, sparse.Report.FineTuning!.Steps);
        using Checkpoint written = Checkpoint.Open(sparse.CheckpointFolder);
        Assert.Equal(sparse.Report.Streaming, written.Config.Streaming);
        using Checkpoint original = Checkpoint.Open(checkpoint);
        Assert.Equal(adapter, original.ReadFloat32("lm_head.weight").SequenceEqual(written.ReadFloat32("lm_head.weight")));
        Assert.All(Completions(sparse), Assert.NotEmpty);
    }

    [Fact]
    public void What_cannot_be_is_refused_before_any_work()
    {
        Assert.Contains("Share is NaN", Refused(o => o.Calibration = o.Calibration with { Share = double.NaN }), StringComparison.Ordinal);
        Assert.Contains("less than one", Refused(o => o.Calibration = o.Calibration with { Share = 0.1 }), StringComparison.Ordinal);
        Assert.Contains("MaxPositions is 200", Refused(o => o.Extension = new ContextExtension { MaxPositions = 200 }), StringComparison.Ordinal);
        Assert.Contains("CheckpointFolder", Refused(o => o.CheckpointFolder = ""), StringComparison.Ordinal);
        Assert.Contains("TextColumnName", Refused(o => o.TextColumnName = ""), StringComparison.Ordinal);
        Assert.Contains("absent", Refused(o => o.CheckpointFolder = folder["absent"]), StringComparison.Ordinal);
        Directory.CreateDirectory(folder["mine"]);
        File.WriteAllText(folder["mine/file"], "");
        Assert.Contains("no folder that this trainer made", Refused(o => (o.OutputFolder, o.Overwrite) = (folder["mine"], true)), StringComparison.Ordinal);

        string Refused(Action<ZigZagTrainerOptions> change)
        {
            ZigZagTrainerOptions options = Options();
            change(options);
            return Assert.ThrowsAny<Exception>(() => context.LongCat().Trainers.ZigZag(options)).Message;
        }
    }

    [Fact]
    public void Rows_that_do_not_fit_say_so_and_leave_nothing()
    {
        ZigZagTrainerOptions options = Options();
        ZigZagEstimator estimator = context.LongCat().Trainers.ZigZag(options);
        IDataView shorter = context.Data.LoadFromEnumerable(new[] { new TextRow { Text = "short" }, new TextRow { Text = "" } });
        Assert.Contains("too short to tell the patterns apart: the longest of 1 has 7 tokens", Assert.Throws<FineTuningException>(() => estimator.Fit(shorter)).Message, StringComparison.Ordinal);
        Assert.Contains("ZigZag reads the column 'Text'", Assert.Throws<ArgumentOutOfRangeException>(() => estimator.Fit(context.Data.LoadFromEnumerable(new[] { new OtherRow() }))).Message, StringComparison.Ordinal);
        Assert.Throws<OperationCanceledException>(() => estimator.Fit(View(4), null, null, new CancellationToken(canceled: true)));
        Assert.Equal(["model"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));

        Assert.Contains(estimator.GetOutputSchema(Shapes.Of(View(1))), column => column.Name == "Completion");
    }

    /// <summary>What the modules of a checkpoint say, token by token; the prompts are four times the span.</summary>
    private string[] Greedy(string checkpoint)
    {
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(checkpoint);
        using var model = CausalLanguageModel.Load(checkpoint);
        using var frozen = no_grad();
        return [.. context.Data.CreateEnumerable<TextRow>(View(2), reuseRowObject: false).Select(row =>
        {
            List<long> ids = [.. tokenizer.Encode(row.Text).Select(id => (long)id)];
            Assert.True(ids.Count > 4 * model.Config.Streaming!.Span);
            int prompt = ids.Count;
            for (int step = 0; step < 4 && !model.Config.EosTokenIds.Contains((int)ids[^1]); step++)
            {
                using var scope = NewDisposeScope();
                using var batch = new SequenceBatch([.. ids], 1, ids.Count);
                ids.Add(model.Logits(model.Forward(batch).Hidden.narrow(0, ids.Count - 1, 1)).argmax(1).item<long>());
            }

            return tokenizer.Decode([.. ids.Skip(prompt).Select(id => (int)id)]);
        })];
    }

    private string[] Completions(ITransformer transformer) =>
        [.. context.Data.CreateEnumerable<CompletionRow>(transformer.Transform(View(2)), reuseRowObject: false).Select(row => row.Completion)];

    private IDataView View(int rows) => context.Data.LoadFromEnumerable(Enumerable.Range(0, rows).Select(row => new TextRow { Text = string.Concat(Enumerable.Range(0, 7).Select(i => $"row {(row * 7) + (i * i)}, ")) }));

    private ZigZagTrainerOptions Options() => new()
    {
        CheckpointFolder = checkpoint,
        OutputFolder = folder["out"],
        Calibration = new ZigZagCalibrationOptions { BlockSize = 4, LocalBlocks = 2, Steps = 3, Threads = 1 },
        Generate = new GenerateOptions { MaxNewTokens = 4 },
        Seed = 3,
    };

    private sealed class TextRow
    {
        public string Text { get; set; } = "";
    }

    private sealed class OtherRow
    {
        public float Text { get; set; }
    }

    private sealed class CompletionRow
    {
        public string Completion { get; set; } = "";
    }

    private sealed class Collector(List<FineTuningStep> steps) : IProgress<FineTuningStep>
    {
        public void Report(FineTuningStep value) => steps.Add(value);
    }
}
