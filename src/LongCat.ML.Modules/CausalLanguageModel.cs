using System.Reflection;
using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// A model of any family as a TorchSharp module: state-dict names are the published tensor names. Weights are float32, or frozen in fewer bits (<see cref="BaseWeights"/>).
/// </summary>
/// <remarks>
/// Prefill only: a forward pass reads whole rows and keeps no cache (generation is the inference engine's work). Forward passes under <c>torch.no_grad()</c>
/// may run from several threads at once; training may not. Dispose the module to free its weights.
/// </remarks>
public abstract partial class CausalLanguageModel : nn.Module
{
    private static readonly Dictionary<Type, MethodInfo> Families = FindFamilies();

    private protected CausalLanguageModel(string name)
        : base(name)
    {
    }

    /// <summary>The settings.</summary>
    public abstract ModelConfig Config { get; }

    /// <summary>How the weights lie in memory.</summary>
    public BaseWeights BaseWeights { get; private protected set; }

    /// <summary>
    /// Whether layers keep only their inputs between the forward and the backward pass and are computed a second time there (1604.06174): much less memory for about a third
    /// more time. Gradients are the same. May be changed between steps.
    /// </summary>
    public bool GradientCheckpointing
    {
        get => Settings.GradientCheckpointing;
        set => Settings.GradientCheckpointing = value;
    }

    /// <summary>Where the weights are; <see cref="MoveTo"/> moves them.</summary>
    public Device Device => Settings.Device;

    /// <summary>What all parts share during a pass.</summary>
    private protected PassSettings Settings { get; } = new();

    /// <summary>The adapters on this model, or null.</summary>
    internal AdaptedModel? Adapted { get; set; }

    /// <summary>The blend of full and streaming attention on this model, or null.</summary>
    internal StreamingBlend? Blend { get; set; }

    internal PassSettings Passes => Settings;

    /// <summary>Creates the module of the config's family with weights that are not yet meaningful.</summary>
    /// <param name="config">The settings.</param>
    /// <returns>A model of random weights, owned by the caller.</returns>
    /// <exception cref="ArgumentException">The config asks for something the family's module cannot do.</exception>
    public static CausalLanguageModel Create(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        config.Streaming?.Validate(config);
        return Families.TryGetValue(config.GetType(), out MethodInfo? create)
            ? (CausalLanguageModel)create.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [config], null)!
            : throw new ArgumentException($"no module is registered for {config.GetType().Name} ({config.Architecture})", nameof(config));
    }

    /// <summary>Runs the stack.</summary>
    /// <param name="batch">The tokens; every id in 0..V-1.</param>
    /// <param name="probe">Sees intermediate results, or null.</param>
    /// <returns>The hidden states and routing decisions, owned by the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">A token id outside the vocabulary.</exception>
    /// <exception cref="InvalidOperationException">The backward pass before this one failed; its cause is the inner exception.</exception>
    public ForwardResult Forward(SequenceBatch batch, ActivationProbe? probe = null)
    {
        ArgumentNullException.ThrowIfNull(batch);
        for (int i = 0; i < batch.InputIds.Length; i++)
        {
            if (batch.InputIds[i] < 0 || batch.InputIds[i] >= Config.VocabSize)
            {
                throw new ArgumentException($"input_ids: token {i % batch.Columns} of row {i / batch.Columns} is {batch.InputIds[i]}, expected 0..{Config.VocabSize - 1}", nameof(batch));
            }
        }

        BackwardFault.ThrowIfAny();
        Settings.Clock?.Begin(training);
        return ForwardStack(batch, probe);
    }

    /// <summary>Moves all weights to a device. Move a model before adapters are attached: theirs stay where they are.</summary>
    /// <param name="device">The device, for instance <c>cuda</c>.</param>
    /// <exception cref="InvalidOperationException">Adapters or a blend are attached.</exception>
    public void MoveTo(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        if (Adapted is not null)
        {
            throw new InvalidOperationException("adapters are attached to the model; move it before AdaptedModel.Attach, or detach them first");
        }

        if (Blend is not null)
        {
            throw new InvalidOperationException("the model is being calibrated; move it before StreamingBlend.Attach, or dispose the blend first");
        }

        this.to(device);
        foreach (var (_, module) in named_modules())
        {
            (module as Projection)?.MoveQuantized(device);
        }

        Settings.Device = device;
    }

    /// <summary>Multiplies by the output matrix.</summary>
    /// <param name="hidden">[T, hidden].</param>
    /// <returns>[T, V] float32, owned by the caller's dispose scope.</returns>
    public abstract Tensor Logits(Tensor hidden);

    /// <summary>Runs the stack over ids that are known to be in the vocabulary.</summary>
    private protected abstract ForwardResult ForwardStack(SequenceBatch batch, ActivationProbe? probe);

    /// <summary>The embedding tables as the stack reads them.</summary>
    private protected abstract IEnumerable<TokenTable> Tables();

    /// <summary>What each attention's queries see, in the order in which caches count attentions.</summary>
    internal abstract IEnumerable<AttentionSight> Sights();

    /// <summary>All projections and their paths in the checkpoint.</summary>
    internal IEnumerable<(string Path, Projection Projection)> Projections()
    {
        foreach (var (path, module) in named_modules())
        {
            if (module is Projection projection)
            {
                yield return (StoredModule(path), projection);
            }
        }
    }

    /// <summary>All tables and their paths in the checkpoint.</summary>
    internal IEnumerable<(string Path, TokenTable Table)> StoredTables() => Tables().Select(table => (StoredModule(table.Path), table));

    internal string StoredModule(string path) => StoredName(path + ".weight")[..^".weight".Length];

    private static Dictionary<Type, MethodInfo> FindFamilies()
    {
        Dictionary<Type, MethodInfo> families = [];
        foreach (Type type in typeof(CausalLanguageModel).Assembly.GetTypes())
        {
            if (type.GetCustomAttribute<ModuleFamilyAttribute>() is { } family)
            {
                families.Add(family.ConfigType, type.GetMethod("Create", BindingFlags.Public | BindingFlags.Static, [family.ConfigType])
                    ?? throw new InvalidOperationException($"{type.Name} is registered for {family.ConfigType.Name} and has no static method Create({family.ConfigType.Name})"));
            }
        }

        return families;
    }
}
