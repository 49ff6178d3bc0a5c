using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Models;
using LongCat.ML.Saving;
using LongCat.ML.Steps;
using LongCat.ML.Training.Estimators;
using LongCat.ML.Training.FineTuning;
using Microsoft.ML;
using Microsoft.ML.Runtime;

namespace LongCat.ML.Training;

/// <summary>
/// Adapts a language model to rows of text, prompts with completions, chats, or texts with labels: LoRA (2106.09685) and its relatives, AFA-LoRA (2512.22455) among them. The transformer runs the tuned model:
/// it generates, or where a label column is named, classifies.
/// </summary>
/// <remarks>
/// <list type="table">
/// <listheader><term>Characteristic</term><description>Lora</description></listheader>
/// <item><term>Trains on data?</term><description>Yes: the view is read once, on the calling thread, into token ids; training then passes over these as often as asked</description></item>
/// <item><term>Input columns</term><description>Text; or text and label (text, or a key with text values); or prompt and completion (text); or roles and contents (vectors of text)</description></item>
/// <item><term>Output columns</term><description>Those of <see cref="ClassifyEstimator"/> with a label column, else those of <see cref="GenerateEstimator"/></description></item>
/// <item><term>Packages</term><description>Microsoft.ML, LongCat.ML, LongCat.ML.Training, TorchSharp's and ONNX Runtime's native libraries in the executable. A saved pipeline runs without the training packages</description></item>
/// <item><term>GPU</term><description><see cref="FineTuningOptions.Device"/>; where that is <c>cpu</c> and <c>MLContext.GpuDeviceId</c> is set, that GPU, or the CPU with a warning where there is none and <c>FallbackToCpu</c> is true</description></item>
/// <item><term>Memory</term><description>The model in float32 (or as <see cref="FineTuningOptions.Base"/> says), the activations of a batch, 4 bytes per token of the rows</description></item>
/// <item><term>Disk</term><description><see cref="LoraTrainerOptions.OutputFolder"/>: the adapter and a whole model; <see cref="FineTuningOptions.StateFolder"/>, where set: what a later Fit with the same rows, settings and <see cref="LoraTrainerOptions.Seed"/> continues from</description></item>
/// <item><term>Saved with the model</term><description>The settings and the tuned model's content hash and path; the weights stay in the output folder</description></item>
/// <item><term>Does not survive Save and Load</term><description><see cref="LoraTransformer.Report"/>, saving and merging the adapter: a loaded pipeline has a <see cref="TextTransformer"/>. After plain Load also batching, until <see cref="LongCatCatalog.Batched"/></description></item>
/// <item><term>Thread safety</term><description>One Fit at a time; the transformer is thread-safe</description></item>
/// <item><term>Exportable to ONNX by ML.NET</term><description>No; <see cref="LoraTransformer.Export"/> writes the model itself</description></item>
/// </list>
/// Put AppendCacheCheckpoint before it only where what comes before must not run for other estimators again: this one reads its view once.
/// </remarks>
public sealed class LoraEstimator : IEstimator<LoraTransformer>
{
    private readonly MLContext context;
    private readonly LoraTrainerOptions options;
    private readonly TrainingColumns columns;
    private readonly ulong seed;

    internal LoraEstimator(MLContext context, LoraTrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        Throw.IfBlank(options.CheckpointFolder, nameof(options.CheckpointFolder));
        Throw.IfBlank(options.OutputFolder, nameof(options.OutputFolder));
        ArgumentNullException.ThrowIfNull(options.FineTuning);
        ArgumentNullException.ThrowIfNull(options.Classify);
        ArgumentNullException.ThrowIfNull(options.Generate);
        ArgumentNullException.ThrowIfNull(options.LabelTexts);
        this.context = context;
        this.options = options;
        columns = TrainingColumns.Of(options);
        if (options.FineTuning.Lora is null)
        {
            throw new ArgumentException($"{nameof(FineTuningOptions)}.{nameof(FineTuningOptions.Lora)} is null, which trains every weight; expected the adapter's settings. {nameof(FineTuner)} trains all weights.", nameof(options));
        }

        options.FineTuning.Validate();
        if (options.FineTuning.Base == Modules.BaseWeights.W4A8 && options.Export is { OntoUnquantized: false } export && export.Precision != Checkpoints.WeightPrecision.W4A8)
        {
            throw new ArgumentException(
                $"{nameof(FineTuningOptions)}.{nameof(FineTuningOptions.Base)} is W4A8, and {nameof(LoraTrainerOptions.Export)} writes {(export.Precision is { } other ? other : "the checkpoint's own precision")}: another model than the one that is trained. "
                + $"Set {nameof(Onnx.ExportOptions)}.{nameof(Onnx.ExportOptions.Precision)} to W4A8, or {nameof(Onnx.ExportOptions.OntoUnquantized)}, or leave {nameof(LoraTrainerOptions.Export)} out.", nameof(options));
        }

        // What would be refused after the training is refused before: the checkpoint, the columns' names, the folder.
        ModelConfig.Load(options.CheckpointFolder);
        Step(options.CheckpointFolder, ["a", "b"], [" a\n", " b\n"]).Options.Validate();
        if (columns.Kind == RowKind.Chat)
        {
            ChatTemplates.Require(HuggingFaceCache.Resolve(options.CheckpointFolder));
        }

        TunedFolder.Check(options.OutputFolder, options.Overwrite);
        seed = options.Seed ?? (ulong)((IHostEnvironment)context).Register("LongCat.Lora").Rand.Next();
    }

    /// <summary>Trains on the rows of a view.</summary>
    /// <param name="input">A view with the columns that the options name.</param>
    /// <returns>The tuned model as a transformer.</returns>
    /// <inheritdoc cref="Fit(IDataView, IDataView?, IProgress{FineTuningStep}?, CancellationToken)" path="/exception"/>
    public LoraTransformer Fit(IDataView input) => Fit(input, null);

    /// <summary>Trains on the rows of a view and watches the loss on those of another.</summary>
    /// <param name="trainData">A view with the columns that the options name; read once, on this thread.</param>
    /// <param name="validationData">
    /// Rows that are not trained on, with the same columns, or null: evaluated as <see cref="FineTuningOptions.EvaluateEvery"/> says; the best step is kept, and training may stop early
    /// (<see cref="FineTuningOptions.KeepBest"/>, <see cref="FineTuningOptions.Patience"/>).
    /// </param>
    /// <param name="progress">Told of every step on this thread, or null. <c>MLContext.Log</c> gets every tenth of the run and every evaluation.</param>
    /// <param name="cancellationToken">Ends it between two steps. No output folder is left; a state is, where <see cref="FineTuningOptions.StateFolder"/> is set.</param>
    /// <returns>The tuned model as a transformer.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or of another type; the message names it, its type and what was expected. No row has been read.</exception>
    /// <exception cref="ArgumentException">The labels cannot be told apart.</exception>
    /// <exception cref="FineTuningException">No row is usable, a row cannot be encoded, the loss is not finite, or the device is not there.</exception>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder may not be replaced.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public LoraTransformer Fit(IDataView trainData, IDataView? validationData, IProgress<FineTuningStep>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(trainData);
        columns.Check(trainData.Schema);
        if (validationData is not null)
        {
            columns.Check(validationData.Schema);
        }

        TunedFolder.Check(options.OutputFolder, options.Overwrite);
        using IChannel channel = ((IChannelProvider)context).Start("LongCat");
        string checkpoint = HuggingFaceCache.Resolve(options.CheckpointFolder);
        ExampleEncoder encoder = new(HuggingFaceTokenizer.Load(checkpoint), ModelConfig.Load(checkpoint), ChatTemplate.Load(checkpoint)) { LossOnPrompt = options.FineTuning.LossOnPrompt };
        IReadOnlyList<string>? known = columns.KnownLabels(trainData.Schema);
        LabelTexts labels = new(options.LabelTexts, known);
        ExampleRows train = Read(trainData, "the training view", collect: known is null);
        IReadOnlyList<string> texts = columns.Kind == RowKind.Label ? labels.Texts(columns.Second!) : [];
        ExampleRows? validation = validationData is null ? null : Read(validationData, "the validation view", collect: false);
        long unusable = train.Unusable + (validation?.Unusable ?? 0);
        string? firstUnusable = train.FirstProblem ?? validation?.FirstProblem;
        if (unusable > 0)
        {
            channel.Warning(MessageSensitivity.UserData, $"{unusable} rows are left out. The first: {firstUnusable}");
        }

        using FineTuner tuner = FineTuner.Create(checkpoint, train.Examples, validation?.Examples, Settings(channel));
        if (tuner.Counts.WithoutTarget > 0)
        {
            channel.Warning(MessageSensitivity.None, $"{tuner.Counts.WithoutTarget} rows have no token to learn (an empty completion, a chat without assistant) and are left out.");
        }

        channel.Info(
            MessageSensitivity.None,
            string.Create(CultureInfo.InvariantCulture, $"Training {tuner.TrainableParameters} parameters of '{checkpoint}' on {tuner.Counts.Train} examples ({tuner.Counts.TrainableTokens} tokens to learn), {tuner.TotalSteps} steps, seed {seed}."));
        if (options.FineTuning.StateFolder is not null && tuner.Resume())
        {
            channel.Info(MessageSensitivity.None, $"Continuing behind step {tuner.Steps} from the state in '{options.FineTuning.StateFolder}'.");
        }

        TrainingProgress steps = new(channel, progress);
        FineTuningResult result = tuner.Run(steps, cancellationToken);
        string folder = TunedFolder.Write(context, checkpoint, options, tuner, Calibration, cancellationToken);
        RowStep step = Step(Path.Combine(folder, TunedFolder.Model), labels.Labels, texts);
        LoraReport report = new()
        {
            Training = result,
            Steps = steps.Steps,
            Seed = seed,
            TrainableParameters = tuner.TrainableParameters,
            Labels = labels.Labels,
            TrainingRows = train.Rows,
            ValidationRows = validation?.Rows ?? 0,
            UnusableRows = unusable,
            FirstUnusableRow = firstUnusable,
            HtmlPath = Path.Combine(folder, TunedFolder.Report),
        };
        channel.Info(
            MessageSensitivity.None,
            string.Create(CultureInfo.InvariantCulture, $"Trained {result.Steps} steps in {result.Elapsed.TotalSeconds:F1} s: loss {result.TrainingLoss:F4}{(result.ValidationLoss is { } loss ? $", validation {loss:F4}" : "")}. The tuned model is in '{folder}'."));
        TextEstimator scoring = step.Options is ClassifyOptions classify ? context.LongCat().Classify(classify) : context.LongCat().Generate((GenerateOptions)step.Options);
        return new LoraTransformer(context, scoring.Fit(trainData), checkpoint, folder, report);

        ExampleRows Read(IDataView view, string name, bool collect) =>
            ExampleRows.Read(view, name, columns, encoder, labels, collect, options.Classify.PromptTemplate, options.BadRows, cancellationToken);

        CalibrationData Calibration() => CalibrationData.FromTexts(columns.Read(trainData).Where(row => row.Problem is null).Select(row => columns.Kind switch
        {
            RowKind.Label => options.Classify.PromptTemplate.Replace(ClassifyOptions.TextPlaceholder, row.First, StringComparison.Ordinal) + labels.TextOf(row.Second),
            RowKind.Chat => ChatTemplates.Require(checkpoint).Render(row.Messages),
            _ => row.First + row.Second,
        }));
    }

    /// <summary>What the transformer makes of a shape.</summary>
    /// <param name="inputSchema">A shape with the columns that the options name.</param>
    /// <returns>The same columns and the transformer's.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A column is missing or of another type; the message names it, its type and what was expected.</exception>
    public SchemaShape GetOutputSchema(SchemaShape inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        StepSchema.Check(columns.Reader, columns.Inputs, inputSchema);

        // Names and number of the labels are no part of a shape.
        return ShapeProbe.Output(context, Step(options.CheckpointFolder, ["a", "b"], []), inputSchema);
    }

    private FineTuningOptions Settings(IChannel channel)
    {
        return options.FineTuning with { Device = ContextDevice.Of(context, channel, options.FineTuning.Device), Seed = seed, Lora = options.FineTuning.Lora! with { Seed = seed } };
    }

    private RowStep Step(string modelFolder, IReadOnlyList<string> labels, IReadOnlyList<string> texts)
    {
        if (columns.Kind == RowKind.Label)
        {
            ClassifyOptions classify = (ClassifyOptions)options.Classify.Copy();
            (classify.ModelFolder, classify.InputColumnName, classify.Labels, classify.LabelTexts) = (modelFolder, columns.First, labels, texts);
            return new ClassifyStep(classify);
        }

        GenerateOptions generate = (GenerateOptions)options.Generate.Copy();
        generate.ModelFolder = modelFolder;
        if (columns.Kind == RowKind.Chat)
        {
            (generate.RolesColumnName, generate.ContentsColumnName) = (columns.Second, columns.First);
        }
        else
        {
            generate.InputColumnName = columns.First;
        }

        return new GenerateStep(generate);
    }

    /// <summary>Keeps the steps, tells the log of every tenth and every evaluation, and the caller of everything.</summary>
    private sealed class TrainingProgress(IChannel channel, IProgress<FineTuningStep>? caller) : IProgress<FineTuningStep>
    {
        private readonly List<FineTuningStep> steps = [];
        private long tenths;

        public IReadOnlyList<FineTuningStep> Steps => steps;

        public void Report(FineTuningStep value)
        {
            steps.Add(value);
            caller?.Report(value);
            long reached = 10 * value.Step / value.TotalSteps;
            if (reached > tenths || value.ValidationLoss is not null)
            {
                tenths = reached;
                channel.Info(
                    MessageSensitivity.None,
                    string.Create(CultureInfo.InvariantCulture, $"Training: step {value.Step} of {value.TotalSteps}, loss {value.Loss:F4}{(value.ValidationLoss is { } loss ? $", validation {loss:F4}" : "")}, learning rate {value.LearningRate:G3}{(value.Beta > 0 ? $", beta {value.Beta:F3}" : "")}."));
            }
        }
    }
}
