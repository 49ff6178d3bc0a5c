using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Models;
using LongCat.ML.Saving;
using LongCat.ML.Steps;
using LongCat.ML.Training.Estimators;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;
using Microsoft.ML;
using Microsoft.ML.Runtime;

namespace LongCat.ML.Training;

/// <summary>
/// Makes attentions of a language model streaming where little is lost (LoZA, 2512.23966): calibrates on a column of texts, makes the share of lowest α streaming, extends the context and fine-tunes where
/// that is asked for. The transformer generates with the model that comes out.
/// </summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>ZigZag</description></listheader>
/// <item><term>Trains on data?</term><description>Yes: the view is read once, on the calling thread, into token ids</description></item>
/// <item><term>Input columns</term><description>Text, with rows longer than the pattern's span</description></item>
/// <item><term>Output columns</term><description>Those of <see cref="GenerateEstimator"/></description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, LongCat.ML.Training, TorchSharp's and ONNX Runtime's native libraries in the executable. A saved pipeline runs without the training packages</description></item>
/// <item><term>GPU</term><description><see cref="ZigZagCalibrationOptions.Device"/>; where that is <c>cpu</c> and <c>MLContext.GpuDeviceId</c> is set, that GPU, or the CPU with a warning where there is none and <c>FallbackToCpu</c> is true</description></item>
/// <item><term>Memory</term><description>The model in float32 (or as <see cref="ZigZagCalibrationOptions.Base"/> says), the activations of a batch, among them heads · row length² weights per attention and pattern</description></item>
/// <item><term>Disk</term><description><see cref="ZigZagTrainerOptions.OutputFolder"/>: the checkpoint and a whole model; <see cref="ZigZagCalibrationOptions.StateFolder"/> and <see cref="FineTuningOptions.StateFolder"/>, where set: what a later Fit with the same rows, settings and seed continues from</description></item>
/// <item><term>Saved with the model</term><description>The settings and the model's content hash and path; the weights stay in the output folder</description></item>
/// <item><term>Does not survive Save and Load</term><description><see cref="ZigZagTransformer.Report"/>: a loaded pipeline has a <see cref="TextTransformer"/></description></item>
/// <item><term>Thread safety</term><description>One Fit at a time; the transformer is thread-safe</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No; <see cref="ZigZagTransformer.ModelFolder"/> is the model in ONNX</description></item>
/// </list>
/// </remarks>
public sealed class ZigZagEstimator : IEstimator<ZigZagTransformer>
{
    private readonly MLContext context;
    private readonly ZigZagTrainerOptions options;
    private readonly TrainingColumns columns;
    private readonly ulong seed;

    internal ZigZagEstimator(MLContext context, ZigZagTrainerOptions options)
    {
        Throw.IfBlank(options.CheckpointFolder, nameof(options.CheckpointFolder));
        Throw.IfBlank(options.OutputFolder, nameof(options.OutputFolder));
        Throw.IfBlank(options.TextColumnName, nameof(options.TextColumnName));
        ArgumentNullException.ThrowIfNull(options.Calibration);
        ArgumentNullException.ThrowIfNull(options.Generate);
        this.context = context;
        this.options = options;
        columns = TrainingColumns.Texts(options.TextColumnName, "ZigZag");

        // What would be refused after the training is refused before: the pattern, the share, the extension, the columns' names, the folder.
        options.Calibration.Validate();
        options.FineTuning?.Validate();
        ModelConfig config = ModelConfig.Load(options.CheckpointFolder);
        StreamingSelection.Choose(StreamingSelection.Candidates(config), options.Calibration.Share, StreamingChoice.First);
        options.Extension?.ScalingFor(config);
        Step(options.CheckpointFolder).Options.Validate();
        ZigZagFolder.Check(options.OutputFolder, options.Overwrite);
        seed = options.Seed ?? (ulong)((IHostEnvironment)context).Register("LongCat.ZigZag").Rand.Next();
    }

    /// <summary>Calibrates on the rows of a view, and makes the model.</summary>
    /// <param name="input">A view with the text column.</param>
    /// <returns>The model with streaming attentions as a transformer.</returns>
    /// <inheritdoc cref="Fit(IDataView, IDataView?, IProgress{FineTuningStep}?, CancellationToken)" path="/exception"/>
    public ZigZagTransformer Fit(IDataView input) => Fit(input, null);

    /// <summary>Calibrates on the rows of a view, measures the loss on those of another, and makes the model.</summary>
    /// <param name="trainData">A view with the text column; read once, on this thread.</param>
    /// <param name="validationData">Rows that are not trained on, with the same column, or null.</param>
    /// <param name="progress">Told of every step of calibration and fine-tuning on this thread, or null.</param>
    /// <param name="cancellationToken">Ends it between two steps. No output folder is left; a state is, where a state folder is set.</param>
    /// <returns>The model with streaming attentions as a transformer.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The column is missing or of another type; the message names it, its type and what was expected. No row has been read.</exception>
    /// <exception cref="FineTuningException">No row is usable, every text is too short to tell the patterns apart, the loss is not finite, or the device is not there.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder may not be replaced.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public ZigZagTransformer Fit(IDataView trainData, IDataView? validationData, IProgress<FineTuningStep>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(trainData);
        columns.Check(trainData.Schema);
        if (validationData is not null)
        {
            columns.Check(validationData.Schema);
        }

        ZigZagFolder.Check(options.OutputFolder, options.Overwrite);
        using IChannel channel = ((IChannelProvider)context).Start("LongCat");
        string checkpoint = HuggingFaceCache.Resolve(options.CheckpointFolder);
        ExampleEncoder encoder = new(HuggingFaceTokenizer.Load(checkpoint), ModelConfig.Load(checkpoint));
        ExampleRows train = Read(trainData, "the training view");
        ExampleRows? validation = validationData is null ? null : Read(validationData, "the validation view");
        long unusable = train.Unusable + (validation?.Unusable ?? 0);
        string? firstUnusable = train.FirstProblem ?? validation?.FirstProblem;
        if (unusable > 0)
        {
            channel.Warning(MessageSensitivity.UserData, $"{unusable} rows are left out. The first: {firstUnusable}");
        }

        using ZigZagFolder partial = new(options.OutputFolder, options.Overwrite);
        Steps steps = new(progress);
        var (calibration, run) = Calibrate(channel, checkpoint, train, validation, partial, steps, cancellationToken);
        StreamingAttentionConfig streaming = calibration.Choose(options.Calibration.Share);
        ModelConfig sparse = SparseCheckpoint.Write(checkpoint, streaming, options.Extension, partial[ZigZagFolder.Sparse], cancellationToken);
        channel.Info(MessageSensitivity.None, $"Attentions {string.Join(", ", streaming.AttentionLayers)} of {calibration.NumAttentions} become streaming.");
        FineTuningResult? tuned = options.FineTuning is null ? null : Tune(channel, train, validation, partial, streaming.Span, steps, cancellationToken);
        Export(partial, trainData, cancellationToken);
        string folder = partial.Commit();
        ZigZagReport report = new()
        {
            Calibration = calibration,
            CalibrationRun = run,
            Streaming = sparse.Streaming!,
            FineTuning = tuned,
            Steps = steps.All,
            Seed = seed,
            TrainingRows = train.Rows,
            ValidationRows = validation?.Rows ?? 0,
            UnusableRows = unusable,
            FirstUnusableRow = firstUnusable,
            HtmlPath = Path.Combine(folder, ZigZagFolder.Report),
        };
        var generate = (GenerateOptions)Step(Path.Combine(folder, ZigZagFolder.Model)).Options;
        return new ZigZagTransformer(context.LongCat().Generate(generate).Fit(trainData), folder, report);

        ExampleRows Read(IDataView view, string name) =>
            ExampleRows.Read(view, name, columns, encoder, new LabelTexts(new Dictionary<string, string>(), null), collect: false, "", options.BadRows, cancellationToken);
    }

    /// <summary>What the transformer makes of a shape.</summary>
    /// <param name="inputSchema">A shape with the text column.</param>
    /// <returns>The same columns and the transformer's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The column is missing or of another type; the message names it, its type and what was expected.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        StepSchema.Check(columns.Reader, columns.Inputs, inputSchema);
        return ShapeProbe.Output(context, Step(options.CheckpointFolder), inputSchema);
    }

    private (ZigZagCalibration Calibration, FineTuningResult Run) Calibrate(
        IChannel channel, string checkpoint, ExampleRows train, ExampleRows? validation, ZigZagFolder partial, Steps steps, CancellationToken cancellationToken)
    {
        ZigZagCalibrationOptions settings = options.Calibration with { Device = ContextDevice.Of(context, channel, options.Calibration.Device), Seed = seed };
        using ZigZagCalibrator calibrator = ZigZagCalibrator.Create(checkpoint, train.Examples, validation?.Examples, settings);
        channel.Info(
            MessageSensitivity.None,
            string.Create(CultureInfo.InvariantCulture, $"Calibrating {calibrator.Result.Attentions.Count} attentions of '{checkpoint}' on {calibrator.Counts.Train} pieces of texts longer than the span, {calibrator.TotalSteps} steps, seed {seed}."));
        if (settings.StateFolder is not null && calibrator.Resume())
        {
            channel.Info(MessageSensitivity.None, $"Continuing behind step {calibrator.Steps} from the state in '{settings.StateFolder}'.");
        }

        FineTuningResult run = calibrator.Run(steps, cancellationToken);
        calibrator.Save(partial["calibration"]);
        File.Move(Path.Combine(partial["calibration"], ZigZagCalibration.FileName), partial[ZigZagCalibration.FileName]);
        File.Move(Path.Combine(partial["calibration"], ZigZagFolder.Report), partial[ZigZagFolder.Report]);
        Directory.Delete(partial["calibration"]);
        return (calibrator.Result, run);
    }

    private FineTuningResult Tune(IChannel channel, ExampleRows train, ExampleRows? validation, ZigZagFolder partial, int span, Steps steps, CancellationToken cancellationToken)
    {
        FineTuningOptions settings = options.FineTuning! with { Seed = seed };
        settings = settings.Lora is null ? settings : settings with { Device = ContextDevice.Of(context, channel, settings.Device), Lora = settings.Lora with { Seed = seed } };
        if (settings.Columns <= span)
        {
            channel.Warning(MessageSensitivity.None, $"Fine-tuning reads rows of {settings.Columns} tokens, no longer than the pattern's span of {span}: it does not see that attentions are streaming. Raise {nameof(FineTuningOptions.Columns)}.");
        }

        string result = partial[ZigZagFolder.Adapter];
        FineTuningResult run;
        using (FineTuner tuner = FineTuner.Create(partial[ZigZagFolder.Sparse], train.Examples, validation?.Examples, settings))
        {
            channel.Info(MessageSensitivity.None, string.Create(CultureInfo.InvariantCulture, $"Fine-tuning {tuner.TrainableParameters} parameters with streaming attentions, {tuner.TotalSteps} steps."));
            if (settings.StateFolder is not null && tuner.Resume())
            {
                channel.Info(MessageSensitivity.None, $"Continuing behind step {tuner.Steps} from the state in '{settings.StateFolder}'.");
            }

            run = tuner.Run(steps, cancellationToken);
            tuner.Save(result);
        }

        File.Move(Path.Combine(result, ZigZagFolder.Report), partial[ZigZagFolder.TuningReport]);
        if (settings.Lora is null)
        {
            // All weights: what was saved is the checkpoint.
            Directory.Delete(partial[ZigZagFolder.Sparse], recursive: true);
            Directory.Move(result, partial[ZigZagFolder.Sparse]);
        }

        return run;
    }

    private void Export(ZigZagFolder partial, IDataView trainData, CancellationToken cancellationToken)
    {
        string? adapter = Directory.Exists(partial[ZigZagFolder.Adapter]) ? partial[ZigZagFolder.Adapter] : null;
        TunedFolder.Export(context, partial[ZigZagFolder.Sparse], adapter, partial[ZigZagFolder.Model], options.Export, Calibration, cancellationToken);

        CalibrationData Calibration() => CalibrationData.FromTexts(columns.Read(trainData).Where(row => row.Problem is null).Select(row => row.First));
    }

    private GenerateStep Step(string modelFolder)
    {
        GenerateOptions generate = (GenerateOptions)options.Generate.Copy();
        (generate.ModelFolder, generate.InputColumnName) = (modelFolder, options.TextColumnName);
        return new GenerateStep(generate);
    }

    private sealed class Steps(IProgress<FineTuningStep>? caller) : IProgress<FineTuningStep>
    {
        private readonly List<FineTuningStep> steps = [];

        public IReadOnlyList<FineTuningStep> All => steps;

        public void Report(FineTuningStep value)
        {
            steps.Add(value);
            caller?.Report(value);
        }
    }
}
