using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.ZigZag;

/// <summary>
/// Finds which attentions of a model can do with a streaming pattern (LoZA, 2512.23966): every full attention is blended with a streaming one, o = α · full + (1 - α) · streaming, and α alone is trained on
/// texts longer than the pattern's span. Low α: little is lost.
/// </summary>
/// <remarks>
/// Texts are packed as in fine-tuning and cut to rows; the loss counts the tokens whose prediction depends on α. A resumed run gives the same α as an unbroken one, bit for bit on the CPU of the same machine
/// with the same number of threads. Not thread-safe.
/// </remarks>
public sealed class ZigZagCalibrator : IDisposable
{
    private readonly FineTuner _tuner;
    private AlphaWeights? _weights;

    private ZigZagCalibrator(Func<Func<CausalLanguageModel, TunedWeights>, FineTuner> create, StreamingAttentionConfig pattern, ZigZagCalibrationOptions options)
    {
        Options = options;
        _tuner = create(model => _weights = new AlphaWeights(model, pattern, options, _ => Result));
    }

    /// <summary>The settings.</summary>
    public ZigZagCalibrationOptions Options { get; }

    /// <summary>What became of the texts: <see cref="ExampleCounts.Train"/> are pieces longer than the span.</summary>
    public ExampleCounts Counts => _tuner.Counts;

    /// <summary>Tokens per packed row.</summary>
    public int Columns => _tuner.Options.Columns;

    /// <summary>Steps made.</summary>
    public long Steps => _tuner.Steps;

    /// <summary>All steps of the run.</summary>
    public long TotalSteps => _tuner.TotalSteps;

    /// <summary>Tokens seen, padding not counted.</summary>
    public long Tokens => _tuner.Tokens;

    /// <summary>Time trained, over all resumed parts.</summary>
    public TimeSpan Elapsed => _tuner.Elapsed;

    /// <summary>α as it is now.</summary>
    public ZigZagCalibration Result => new()
    {
        Architecture = _tuner.Model.Config.Architecture,
        NumAttentions = _tuner.Model.Config.NumAttentions,
        BlockSize = Options.BlockSize,
        SinkBlocks = Options.SinkBlocks,
        LocalBlocks = Options.LocalBlocks,
        InitialAlpha = Options.InitialAlpha,
        Steps = Steps,
        Tokens = Tokens,
        Attentions = _weights!.Alphas,
    };

    /// <summary>Loads a checkpoint and prepares to calibrate it.</summary>
    /// <param name="checkpointFolder">A checkpoint folder of any family in Hugging Face layout.</param>
    /// <param name="texts">The texts (see <see cref="ExampleEncoder.Text"/>); at least one longer than the pattern's span.</param>
    /// <param name="validation">Texts to measure the loss on, or null.</param>
    /// <param name="options">The settings.</param>
    /// <param name="unreadable">Rows that were left out while reading the texts, for <see cref="Counts"/>.</param>
    /// <returns>The calibrator, which owns the model.</returns>
    /// <exception cref="ArgumentException">A setting is out of range, or no attention of the model sees all of the context.</exception>
    /// <exception cref="FineTuningException">The texts, the rows or the model's longest sequence are too short for the pattern, or the device is not there.</exception>
    /// <exception cref="CheckpointException">The checkpoint is malformed.</exception>
    public static ZigZagCalibrator Create(string checkpointFolder, IEnumerable<TrainingExample> texts, IEnumerable<TrainingExample>? validation, ZigZagCalibrationOptions options, int unreadable = 0)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointFolder);
        return Prepare(ModelConfig.Load(checkpointFolder), texts, validation, options, (train, held, tuning, weights) => FineTuner.Create(checkpointFolder, train, held, tuning, unreadable, weights));
    }

    /// <summary>Prepares to calibrate a model that is open.</summary>
    /// <param name="model">The model, which stays the caller's; its weights are frozen until the calibrator is disposed.</param>
    /// <param name="texts">The texts (see <see cref="ExampleEncoder.Text"/>); at least one longer than the pattern's span.</param>
    /// <param name="validation">Texts to measure the loss on, or null.</param>
    /// <param name="options">The settings; <see cref="ZigZagCalibrationOptions.Base"/>, <see cref="ZigZagCalibrationOptions.Device"/> and libtorch's threads stay as they are.</param>
    /// <returns>The calibrator.</returns>
    /// <exception cref="ArgumentException">A setting is out of range, or no attention of the model sees all of the context.</exception>
    /// <exception cref="FineTuningException">The texts, the rows or the model's longest sequence are too short for the pattern.</exception>
    /// <exception cref="InvalidOperationException">The model has adapters or is being calibrated.</exception>
    public static ZigZagCalibrator Create(CausalLanguageModel model, IEnumerable<TrainingExample> texts, IEnumerable<TrainingExample>? validation, ZigZagCalibrationOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Prepare(model.Config, texts, validation, options, (train, held, tuning, weights) => FineTuner.Create(model, train, held, tuning, unreadable: 0, weights));
    }

    /// <summary>Trains α to the end: evaluates, saves states.</summary>
    /// <param name="progress">Hears of every step; null for none.</param>
    /// <param name="cancellationToken">Stops after the current step; the state is saved first where there is a folder for it.</param>
    /// <returns>How it went; <see cref="Result"/> has α.</returns>
    /// <exception cref="FineTuningException">The loss is not finite: the message names the step and the rows of the batch.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public FineTuningResult Run(IProgress<FineTuningStep>? progress = null, CancellationToken cancellationToken = default) => _tuner.Run(progress, cancellationToken);

    /// <summary>Continues from the newest state of <see cref="ZigZagCalibrationOptions.StateFolder"/>.</summary>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="CheckpointException">The state is malformed, or of other settings, texts or another model.</exception>
    /// <exception cref="InvalidOperationException">No folder was given, or steps were already made.</exception>
    public bool Resume() => _tuner.Resume();

    /// <summary>Writes <c>zigzag.json</c> and <c>report.html</c> (figures, the picture of all α, their table, curves). The folder appears under its name when it is whole.</summary>
    /// <param name="folder">The folder to write.</param>
    /// <param name="overwrite">Whether to replace a calibration or another result of training that is there; anything else is never replaced.</param>
    /// <returns>The report's path.</returns>
    /// <exception cref="IOException">Something is in the way; the message says what, and what to do.</exception>
    public string Save(string folder, bool overwrite = false) => _tuner.Save(folder, overwrite);

    /// <inheritdoc/>
    public void Dispose() => _tuner.Dispose();

    private static ZigZagCalibrator Prepare(
        ModelConfig config, IEnumerable<TrainingExample> texts, IEnumerable<TrainingExample>? validation, ZigZagCalibrationOptions options,
        Func<IEnumerable<TrainingExample>, IEnumerable<TrainingExample>?, FineTuningOptions, Func<CausalLanguageModel, TunedWeights>, FineTuner> create)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        IReadOnlyList<int> attentions = StreamingSelection.Candidates(config);
        StreamingSelection.Choose(attentions, options.Share, StreamingChoice.First);
        StreamingAttentionConfig pattern = options.Pattern(attentions);
        int columns = CalibrationTexts.Columns(config, pattern, options.Columns);
        var train = CalibrationTexts.Pieces(texts, "training", pattern, columns);
        var held = validation is null ? null : CalibrationTexts.Pieces(validation, "validation", pattern, columns);
        return new ZigZagCalibrator(weights => create(train, held, options.ToFineTuning(columns), weights), pattern, options);
    }
}
