using System.Diagnostics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Optimization;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Training.FineTuning;

/// <summary>
/// Trains an adapter, or all weights, on examples: packed rows without leakage between examples, loss on the trainable tokens only, AdamW with warm-up, evaluation and early stopping.
/// </summary>
/// <remarks>
/// <para>A step's loss is the mean over all targets of its <see cref="FineTuningOptions.AccumulationSteps"/> forward passes, so accumulation equals one larger batch.</para>
/// <para>A resumed run gives the same weights as an unbroken one, bit for bit on the CPU of the same machine with the same number of threads. Not thread-safe.</para>
/// </remarks>
public sealed partial class FineTuner : IDisposable
{
    private readonly TunedWeights _weights;
    private readonly MasterWeights _masters;
    private readonly FusedAdamW _optimizer;
    private readonly WarmupSchedule _schedule;
    private readonly IReadOnlyList<TrainingExample> _examples;
    private readonly TokenizedDocuments _documents;
    private readonly PackedRows? _validation;
    private readonly bool _ownsModel;
    private readonly int _padding;
    private readonly Stopwatch _watch = new();
    private readonly List<HistoryPoint> _history = [];
    private PackedStream _stream;
    private TimeSpan _before;
    private bool _failed;

    private FineTuner(
        CausalLanguageModel model, bool ownsModel, string? folder, ExampleSelection train, ExampleSelection? validation, FineTuningOptions options, bool copyMasters,
        Func<CausalLanguageModel, TunedWeights>? weights)
    {
        Model = model;
        Options = options;
        _ownsModel = ownsModel;
        _examples = train.Examples;
        _documents = train.Documents;
        _padding = model.Config.EosTokenIds.Count > 0 ? model.Config.EosTokenIds[0] : 0;
        _validation = validation is null ? null : PackedRows.Pack(validation.Documents, options.Columns, seed: null);
        Counts = train.Counts with { Validation = validation?.Examples.Count ?? 0 };
        Adapted = options.Lora is null ? null
            : options.DraftHead ? AdaptedModel.AttachToDraftHead((LongcatFlashForCausalLM)model, options.Lora)
            : AdaptedModel.Attach(model, options.Lora);
        var adapter = Adapted is null ? null : new AdapterWeights(Adapted, options.Lora!);
        _weights = weights?.Invoke(model) ?? (options.DraftHead ? new DraftHeadWeights(model, folder, adapter) : adapter is null ? new ModelWeights(model, folder) : adapter);
        model.GradientCheckpointing = options.GradientCheckpointing;
        _masters = new MasterWeights(_weights.Parameters, copied: copyMasters || model.Device.type != DeviceType.CPU);
        var masters = _masters.Parameters.ToDictionary(p => p.Name, p => p.Value);
        var groups = _weights.Groups(options).Select(g => g with { Parameters = [.. g.Parameters.Select(p => (p.Name, masters[p.Name]))] });
        _optimizer = new FusedAdamW(groups, options.Optimizer, options.Threads == 0 ? Environment.ProcessorCount : options.Threads);
        _stream = new PackedStream(_documents, options.Columns, options.Seed);
        int rowsPerStep = options.BatchRows * options.AccumulationSteps;
        TotalSteps = options.Steps ?? Math.Max(1, (long)Math.Ceiling(options.Epochs * _stream.RowsPerEpoch / rowsPerStep));
        _schedule = new WarmupSchedule(options.LearningRate, options.WarmupSteps ?? (long)Math.Round(0.03 * TotalSteps), TotalSteps, options.Schedule);
    }

    /// <summary>The model, with the adapter on it.</summary>
    public CausalLanguageModel Model { get; }

    /// <summary>The adapter on the model; null in full fine-tuning.</summary>
    public AdaptedModel? Adapted { get; }

    /// <summary>The settings.</summary>
    public FineTuningOptions Options { get; }

    /// <summary>What became of the examples.</summary>
    public ExampleCounts Counts { get; }

    /// <summary>Steps made.</summary>
    public long Steps { get; private set; }

    /// <summary>All steps of the run, unless it stops early.</summary>
    public long TotalSteps { get; }

    /// <summary>Tokens seen, padding not counted.</summary>
    public long Tokens { get; private set; }

    /// <summary>Targets that the losses have counted.</summary>
    public long TrainableTokens { get; private set; }

    /// <summary>Time trained, over all resumed parts.</summary>
    public TimeSpan Elapsed => _before + _watch.Elapsed;

    /// <summary>How many numbers are trained.</summary>
    public long TrainableParameters => _weights.Parameters.Sum(p => p.Value.NumberOfElements);

    /// <summary>What the optimizer changes.</summary>
    internal MasterWeights Masters => _masters;

    /// <summary>Loads a checkpoint and prepares to train it.</summary>
    /// <param name="checkpointFolder">A checkpoint folder of any family in Hugging Face layout.</param>
    /// <param name="train">The training examples (see <see cref="ExampleEncoder"/>).</param>
    /// <param name="validation">Examples to evaluate on, or null.</param>
    /// <param name="options">The settings.</param>
    /// <param name="unreadable">Rows that were left out while reading the examples, for <see cref="Counts"/>.</param>
    /// <returns>The trainer, which owns the model.</returns>
    /// <exception cref="ArgumentException">A setting is out of range.</exception>
    /// <exception cref="FineTuningException">The examples hold nothing to train, do not fit the model, or the device is not there.</exception>
    /// <exception cref="CheckpointException">The checkpoint is malformed.</exception>
    /// <exception cref="AdapterException">The adapter's targets do not fit the model.</exception>
    public static FineTuner Create(string checkpointFolder, IEnumerable<TrainingExample> train, IEnumerable<TrainingExample>? validation, FineTuningOptions options, int unreadable = 0) =>
        Create(checkpointFolder, train, validation, options, unreadable, weights: null);

    /// <summary>The same, where something other than an adapter or the model's weights may be trained.</summary>
    internal static FineTuner Create(
        string checkpointFolder, IEnumerable<TrainingExample> train, IEnumerable<TrainingExample>? validation, FineTuningOptions options, int unreadable, Func<CausalLanguageModel, TunedWeights>? weights)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointFolder);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        TrainingDevice.Check(options.Device);
        TorchRuntime.Configure(options.Threads);
        var model = CausalLanguageModel.Load(checkpointFolder, options.Base);
        try
        {
            if (options.Device != "cpu")
            {
                model.MoveTo(new Device(options.Device));
            }

            return Prepare(model, ownsModel: true, checkpointFolder, train, validation, options, unreadable, weights: weights);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Prepares to train a model that is open.</summary>
    /// <param name="model">The model, which stays the caller's; its weights are frozen while an adapter is trained.</param>
    /// <param name="train">The training examples (see <see cref="ExampleEncoder"/>).</param>
    /// <param name="validation">Examples to evaluate on, or null.</param>
    /// <param name="options">The settings; <see cref="FineTuningOptions.Base"/>, <see cref="FineTuningOptions.Device"/> and libtorch's threads stay as they are.</param>
    /// <param name="unreadable">Rows that were left out while reading the examples, for <see cref="Counts"/>.</param>
    /// <returns>The trainer.</returns>
    /// <exception cref="ArgumentException">A setting is out of range.</exception>
    /// <exception cref="FineTuningException">The examples hold nothing to train, do not fit the model, or the device is not there.</exception>
    /// <exception cref="AdapterException">The adapter's targets do not fit the model.</exception>
    public static FineTuner Create(CausalLanguageModel model, IEnumerable<TrainingExample> train, IEnumerable<TrainingExample>? validation, FineTuningOptions options, int unreadable = 0) =>
        Create(model, train, validation, options, unreadable, weights: null);

    /// <summary>The same, where something other than an adapter or the model's weights may be trained.</summary>
    internal static FineTuner Create(
        CausalLanguageModel model, IEnumerable<TrainingExample> train, IEnumerable<TrainingExample>? validation, FineTuningOptions options, int unreadable, Func<CausalLanguageModel, TunedWeights>? weights)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        TrainingDevice.Check(options.Device);
        return Prepare(model, ownsModel: false, folder: null, train, validation, options, unreadable, weights: weights);
    }

    /// <summary>Takes the adapter off a model that is the caller's, and frees a model that is not.</summary>
    public void Dispose()
    {
        _optimizer.Dispose();
        _masters.Dispose();
        _weights.Dispose();
        if (_ownsModel)
        {
            Model.Dispose();
        }
    }

    /// <summary>Prepares with copies of the parameters, as another device than the CPU needs them, wherever the model is.</summary>
    internal static FineTuner CreateWithCopies(CausalLanguageModel model, IEnumerable<TrainingExample> train, FineTuningOptions options) =>
        Prepare(model, ownsModel: false, folder: null, train, validation: null, options, unreadable: 0, copyMasters: true);

    private static FineTuner Prepare(
        CausalLanguageModel model, bool ownsModel, string? folder, IEnumerable<TrainingExample> train, IEnumerable<TrainingExample>? validation, FineTuningOptions options, int unreadable,
        bool copyMasters = false, Func<CausalLanguageModel, TunedWeights>? weights = null)
    {
        ArgumentNullException.ThrowIfNull(train);
        if (options.Columns > model.Config.MaxPositions)
        {
            throw new FineTuningException($"Columns is {options.Columns}, the model's longest sequence is {model.Config.MaxPositions}: lower Columns");
        }

        if (options.DraftHead)
        {
            RequireDraftHead(model, folder);
        }

        var chosen = ExampleSelection.Of(train, "training", model.Config.VocabSize, options);
        chosen = chosen with { Counts = chosen.Counts with { Unreadable = unreadable } };
        var held = validation is null ? null : ExampleSelection.Of(validation, "validation", model.Config.VocabSize, options);
        return new FineTuner(model, ownsModel, folder, chosen, held, options, copyMasters, weights);
    }

    private static void RequireDraftHead(CausalLanguageModel model, string? folder)
    {
        if (model is not LongcatFlashForCausalLM { Model.DraftHead: not null })
        {
            throw new FineTuningException($"DraftHead is set, and the {model.Config.Architecture} has no multi-token-prediction head to train; expected a LongCat checkpoint with model.mtp tensors");
        }

        if (folder is not null)
        {
            using var checkpoint = Checkpoint.Open(folder);
            if (DraftHeadWeights.WhyNotStorable(checkpoint) is { } reason)
            {
                throw new FineTuningException(reason);
            }
        }
    }
}
