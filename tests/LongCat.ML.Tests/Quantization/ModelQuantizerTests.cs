using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using LongCat.ML.Tests.Fakes;
using LongCat.ML.TestShared;
using Microsoft.ML;

namespace LongCat.ML.Tests.Quantization;

/// <summary>From a checkpoint to a quantized folder: the same bytes again, what is refused, and that nothing stays behind however it ends.</summary>
public sealed class ModelQuantizerTests : IDisposable
{
    private static readonly CalibrationData s_random = CalibrationData.RandomTokens(samples: 3, sampleTokens: 24);
    private readonly TemporaryFolder folder = new();
    private readonly string checkpoint;

    public ModelQuantizerTests() => checkpoint = RandomDecoder.Write(folder["checkpoint"], new RandomDecoderOptions { Tokenizer = true, HiddenSize = 64, BFloat16 = true });

    public void Dispose() => folder.Dispose();

    [Fact]
    public void The_same_seed_gives_the_same_bytes_whatever_the_threads_and_passes()
    {
        string[] hashes = [.. new[] { (Threads: 1, Budget: 1L << 30), (Threads: 2, Budget: 8L * 64 * 64) }.Select((machine, i) =>
            ModelQuantizer.Quantize(
                checkpoint, folder[$"out-{i}"], calibration: s_random, runtime: new CalibrationOptions { Threads = machine.Threads, MemoryBudgetBytes = machine.Budget }).Export.Manifest.ContentHash)];
        Assert.Equal(hashes[0], hashes[1]);
        Assert.NotEqual(hashes[0], ModelQuantizer.Quantize(checkpoint, folder["other"], new QuantizationOptions { Seed = 1 }, s_random).Export.Manifest.ContentHash);
        NothingElse("out-0", "out-1", "other");
    }

    [Fact]
    public void The_result_runs_in_a_pipeline_and_its_report_knows_the_calibration()
    {
        var context = new MLContext();
        List<string> log = [];
        context.Log += (_, message) => log.Add(message.Message);
        IDataView rows = context.Data.LoadFromEnumerable(CountedRows.Make(20));
        QuantizationResult result = context.LongCat().Quantize(checkpoint, folder["onnx"], rows);
        Assert.Equal((20, 0L, false), (result.Calibration!.Samples, result.Calibration.Unusable, result.Calibration.DataFree));
        Assert.Equal(WeightPrecision.W4A8, result.Export.Manifest.Precision);
        string report = File.ReadAllText(Path.Combine(result.Folder, QuantizationReport.JsonName));
        Assert.Contains($"\"tokens\": {result.Calibration.Tokens}", report, StringComparison.Ordinal);
        Assert.Contains("\"data_free\": false", report, StringComparison.Ordinal);
        Assert.Contains(log, message => message.Contains("Quantizing, calibration: 100 %", StringComparison.Ordinal));
        Assert.Contains(log, message => message.Contains($"calibrated on {result.Calibration.Tokens} tokens", StringComparison.Ordinal));
        foreach (string stale in (string[])["Quantizing, float graph: 100 %", "Quantizing, weights: 100 %"])
        {
            Assert.Contains(log, message => message.Contains(stale, StringComparison.Ordinal));
        }

        ITransformer pipeline = context.LongCat().Score(result.Folder).Fit(rows);
        float[] scores = [.. context.Data.CreateEnumerable<ScoreRow>(pipeline.Transform(rows), false, ignoreMissingColumns: true).Select(row => row.Score)];
        Assert.All(scores, score => Assert.True(float.IsFinite(score) && score < 0));
        context.Model.Save(pipeline, rows.Schema, folder["pipeline.zip"]);
        context.LongCat().Release();
        ITransformer loaded = new MLContext().Model.Load(folder["pipeline.zip"], out _);
        Assert.Equal(scores, context.Data.CreateEnumerable<ScoreRow>(loaded.Transform(rows), false, ignoreMissingColumns: true).Select(row => row.Score));
        context.LongCat().Release();
    }

    [Fact]
    public void An_export_with_that_precision_calibrates_on_random_tokens_where_the_recipe_needs_it()
    {
        var context = new MLContext();
        List<ExportProgress> progress = [];
        ExportResult exported = context.LongCat().ExportToOnnx(checkpoint, folder["export"], new ExportOptions { Precision = WeightPrecision.W4A8 }, new Reports<ExportProgress>(progress.Add));
        Assert.Equal(ModelQuantizer.Quantize(checkpoint, folder["quantized"]).Export.Manifest.ContentHash, exported.Manifest.ContentHash);
        Assert.Equal(exported.DataBytes, progress[^1].BytesDone);
        Assert.Contains("\"data_free\": true", File.ReadAllText(Path.Combine(exported.Folder, QuantizationReport.JsonName)), StringComparison.Ordinal);

        ExportOptions nearest = new() { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } };
        QuantizationResult without = ModelQuantizer.Quantize(checkpoint, folder["rtn"], export: nearest);
        Assert.Null(without.Calibration);
        Assert.Equal(context.LongCat().ExportToOnnx(checkpoint, folder["rtn-export"], nearest).Manifest.ContentHash, without.Export.Manifest.ContentHash);
    }

    [Theory]
    [InlineData(QuantizationStage.Probe)]
    [InlineData(QuantizationStage.Calibrate)]
    [InlineData(QuantizationStage.Write)]
    public void Cancellation_in_any_stage_leaves_nothing(QuantizationStage stage)
    {
        using CancellationTokenSource source = new();
        bool reached = false;
        Reports<QuantizationProgress> progress = new(value =>
        {
            if (value.Stage == stage)
            {
                reached = true;
                source.Cancel();
            }
        });
        Assert.ThrowsAny<OperationCanceledException>(() => ModelQuantizer.Quantize(checkpoint, folder["onnx"], calibration: s_random, progress: progress, cancellationToken: source.Token));
        Assert.True(reached);
        NothingElse();
    }

    [Theory]
    [InlineData(QuantizationStage.Probe)]
    [InlineData(QuantizationStage.Calibrate)]
    [InlineData(QuantizationStage.Write)]
    public void A_failure_in_any_stage_leaves_nothing(QuantizationStage stage)
    {
        Reports<QuantizationProgress> progress = new(value =>
        {
            if (value.Stage == stage)
            {
                throw new IOException("the disk is full");
            }
        });
        Assert.Equal("the disk is full", Assert.Throws<IOException>(() => ModelQuantizer.Quantize(checkpoint, folder["onnx"], calibration: s_random, progress: progress)).Message);
        NothingElse();
    }

    [Theory]
    [InlineData(float.NaN, QuantizationRecipe.RoundToNearest)]
    [InlineData(float.PositiveInfinity, QuantizationRecipe.LongCat)]
    public void A_weight_that_is_not_finite_is_one_error_that_names_it(float value, QuantizationRecipe recipe)
    {
        const string Name = "model.layers.0.mlp.down_proj.weight";
        string damaged = RandomDecoder.Write(folder["damaged"], new RandomDecoderOptions());
        string path = Path.Combine(damaged, "model.safetensors");
        long offset;
        using (SafetensorsFile file = SafetensorsFile.Open(path))
        {
            offset = file.Tensors[Name].Offset;
        }

        using (FileStream stream = File.OpenWrite(path))
        {
            stream.Position = offset + (4 * 70);
            stream.Write(BitConverter.GetBytes(value));
        }

        Exception exception = Assert.ThrowsAny<Exception>(() => ModelQuantizer.Quantize(damaged, folder["onnx"], new QuantizationOptions { Recipe = recipe }, s_random));
        Assert.True(exception is QuantizationException or CheckpointException, exception.ToString());
        Assert.Contains(Name, exception.Message, StringComparison.Ordinal);
        NothingElse("damaged");
    }

    [Fact]
    public void What_is_no_checkpoint_any_more_or_may_not_be_replaced_is_refused_before_any_work()
    {
        string exported = OnnxExporter.Export(checkpoint, folder["exported"]).Folder;
        Reports<QuantizationProgress> none = new(_ => Assert.Fail("nothing may have begun"));
        Refused("it is an export already", exported, folder["onnx"]);
        Refused("the output folder exists", checkpoint, exported);
        Refused("is or contains the checkpoint", checkpoint, folder.Path);

        string published = folder["published"];
        Directory.CreateDirectory(published);
        File.Copy(Path.Combine(checkpoint, "model.safetensors"), Path.Combine(published, "model.safetensors"));
        File.WriteAllText(
            Path.Combine(published, "config.json"),
            File.ReadAllText(Path.Combine(checkpoint, "config.json")).TrimEnd().TrimEnd('}') + ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}}");
        Refused("gptq", published, folder["onnx"]);
        NothingElse("exported", "published");

        void Refused(string expected, string from, string to) => Assert.Contains(
            expected, Assert.Throws<CheckpointException>(() => ModelQuantizer.Quantize(from, to, calibration: s_random, progress: none)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_that_contradict_each_other_are_refused_by_name()
    {
        Refused("GroupSize is 100", new QuantizationOptions { GroupSize = 100 }, null);
        Refused("Precision is BF16", null, new ExportOptions { Precision = WeightPrecision.BF16 });
        Refused("Quantization is set", new QuantizationOptions { Seed = 1 }, new ExportOptions { Quantization = new QuantizationOptions() });
        Refused("Probes is set", null, new ExportOptions { Probes = true });
        Refused("longcat operators", null, new ExportOptions { Operators = OperatorSet.Standard });
        NothingElse();

        void Refused(string expected, QuantizationOptions? options, ExportOptions? export) => Assert.Contains(
            expected, Assert.ThrowsAny<ArgumentException>(() => ModelQuantizer.Quantize(checkpoint, folder["onnx"], options, s_random, export)).Message, StringComparison.Ordinal);
    }

    /// <summary>The folder holds the checkpoint and what is named, and no temporary folder beside them.</summary>
    private void NothingElse(params string[] names) => Assert.Equal(
        names.Append("checkpoint").Order(StringComparer.Ordinal), Directory.EnumerateFileSystemEntries(folder.Path).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal));

    private sealed class Reports<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }
}
