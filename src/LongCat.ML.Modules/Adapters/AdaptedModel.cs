using System.Globalization;
using LongCat.ML.Checkpoints;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// A model with adapters on its projections and tables, for training and for use: the model's own weights are frozen, <see cref="Parameters"/> are trained, and
/// <see cref="StepTo"/> moves β of AFA-LoRA (2512.22455).
/// </summary>
/// <remarks>
/// The model stays the caller's; <see cref="Dispose"/> takes the adapters off it and leaves it as it was, bit by bit. Forward passes are those of <see cref="Model"/>; in
/// training mode (<c>model.train()</c>) with gradients they drop inputs where the options say so. Not thread-safe, but forward passes without gradient may run from several threads.
/// </remarks>
public sealed partial class AdaptedModel : IDisposable
{
    private readonly List<AdaptedProjection> _projections = [];
    private readonly List<AdaptedTable> _tables = [];
    private readonly List<TrainedTensor> _saved = [];
    private readonly List<(Parameter Parameter, bool RequiredGradient)> _frozen = [];
    private readonly List<AdapterParameter> _parameters = [];
    private readonly AdapterClock _clock;
    private readonly AfaOptions? _afa;
    private readonly bool _trainable;
    private PeftConfig _config;
    private bool _attached;

    private AdaptedModel(CausalLanguageModel model, PeftConfig config, AfaOptions? afa, ulong seed, bool trainable)
    {
        (Model, _config, _afa, _trainable) = (model, config, afa, trainable);
        _clock = new AdapterClock(seed) { Activation = afa?.Activation, Beta = afa?.BetaStart ?? 0 };
    }

    /// <summary>The model, whose forward passes include the adapters.</summary>
    public CausalLanguageModel Model { get; }

    /// <summary>The adapter in PEFT's terms.</summary>
    public PeftConfig Config => _config;

    /// <summary>What is trained, in the order of the forward pass; empty for an adapter that was attached for use alone.</summary>
    public IReadOnlyList<AdapterParameter> Parameters => _parameters;

    /// <summary>What is trained of each module.</summary>
    public TrainableSummary Summary => new([.. Summaries()], Model.Config.ExpectedTensors(withMtp: false).Sum(tensor => tensor.Shape.Aggregate(1L, (a, b) => a * b)));

    /// <summary>β of AFA-LoRA: 0 for an adapter that is linear.</summary>
    public double Beta => _clock.Beta;

    /// <summary>The step that <see cref="StepTo"/> was last told.</summary>
    public long Step => _clock.Step;

    /// <summary>Whether the adapter is merged into the model's weights now.</summary>
    public bool IsMerged { get; private set; }

    /// <summary>Whether <see cref="Merge"/> would be exact up to rounding.</summary>
    public bool IsMergeable => WhyNotMergeable is null;

    /// <summary>Begins a step: sets β and which inputs are dropped. To be called before the forward passes of every step, and after a state was loaded.</summary>
    /// <param name="step">The step, from 0.</param>
    /// <param name="totalSteps">Steps of the whole training, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A negative step, or no steps at all.</exception>
    public void StepTo(long step, long totalSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        ArgumentOutOfRangeException.ThrowIfLessThan(totalSteps, 1);
        _clock.StepTo(step, totalSteps, _afa?.Beta(step, totalSteps) ?? 0);
    }

    /// <summary>
    /// The gradients of the n-gram tables' rows that forward passes read since the last call, summed over them; to be called once per step, after the backward passes. Rows
    /// that no pass read have no gradient and need no moments.
    /// </summary>
    /// <returns>One entry per table that is trained and was read.</returns>
    public IReadOnlyList<TableGradient> TakeTableGradients()
    {
        List<TableGradient> gradients = [];
        foreach (TrainedTensor table in _saved)
        {
            if (table.Rows?.Take((int)table.Parameter.shape[1]) is { Rows.Length: > 0 } read)
            {
                gradients.Add(new TableGradient(_parameters.Single(p => p.Name == table.Name), read.Rows, read.Gradient));
            }
        }

        return gradients;
    }

    /// <summary>Takes the adapters off the model, which is as it was before, bit by bit. The same as <see cref="Dispose"/>.</summary>
    public void Detach() => Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (AdaptedProjection projection in _projections)
        {
            projection.Dispose();
        }

        foreach (AdaptedTable table in _tables)
        {
            table.Dispose();
        }

        foreach (TrainedTensor tensor in _saved)
        {
            tensor.Dispose();
        }

        foreach (var (parameter, required) in _frozen)
        {
            parameter.requires_grad_(required);
            parameter.grad = null;
        }

        _projections.Clear();
        _tables.Clear();
        _saved.Clear();
        _frozen.Clear();
        _parameters.Clear();
        if (_attached)
        {
            Model.Adapted = null;
            Model.Passes.Clock = null;
            _attached = false;
        }
    }

    private IEnumerable<TrainableModule> Summaries()
    {
        foreach (AdaptedProjection p in _projections)
        {
            yield return new TrainableModule(p.Path, (int)p.Adapter.A.shape[0], Trained(p.Path), p.Projection.InFeatures * p.Projection.OutFeatures);
        }

        foreach (AdaptedTable t in _tables)
        {
            yield return new TrainableModule(t.Path, (int)t.Adapter.A.shape[0], Trained(t.Path), t.Table.Module.weight!.NumberOfElements);
        }

        foreach (var module in _saved.GroupBy(tensor => tensor.Module))
        {
            long values = module.Sum(tensor => tensor.Parameter.NumberOfElements);
            yield return new TrainableModule(module.Key, 0, _trainable ? values : 0, values);
        }

        long Trained(string module) => _parameters.Where(p => p.Module == module).Sum(p => p.Parameter.NumberOfElements);
    }

    private string Describe() => string.Create(CultureInfo.InvariantCulture, $"the adapter (r = {_config.Rank}, {_projections.Count + _tables.Count} modules)");
}
