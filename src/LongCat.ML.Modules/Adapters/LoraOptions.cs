using System.Globalization;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Modules;

/// <summary>
/// A new adapter: LoRA (2106.09685), rsLoRA (2312.03732), DoRA (2402.09353), PiSSA (2404.02948) or AFA-LoRA (2512.22455), and where it sits. Immutable.
/// </summary>
public sealed record LoraOptions
{
    /// <summary>r, the rank: 1 or more.</summary>
    public int Rank { get; init; } = 8;

    /// <summary>α: the change is multiplied by α / r, or α / √r with <see cref="UseRsLora"/>. Positive.</summary>
    public double Alpha { get; init; } = 16;

    /// <summary>The share of a layer's inputs that training drops before A, 0 to below 1. What is dropped follows from <see cref="Seed"/>, step and module alone.</summary>
    public double Dropout { get; init; }

    /// <summary>Whether the change is multiplied by α / √r.</summary>
    public bool UseRsLora { get; init; }

    /// <summary>Whether the rows' magnitudes are trained apart from their directions (DoRA).</summary>
    public bool UseDora { get; init; }

    /// <summary>What A and B hold at first.</summary>
    public LoraInitialization Initialization { get; init; }

    /// <summary>The modules that are changed. Null for the family's preset, <c>attention-dense</c>: all projections but experts, routers and head.</summary>
    public AdapterTargets? Targets { get; init; }

    /// <summary>Modules that are not changed though <see cref="Targets"/> names them, or null.</summary>
    public AdapterTargets? Exclude { get; init; }

    /// <summary>The layers that are changed; null for all.</summary>
    public IReadOnlyList<int>? Layers { get; init; }

    /// <summary>What stands before a layer's number in a path; null for whatever comes first.</summary>
    public IReadOnlyList<string>? LayersPattern { get; init; }

    /// <summary>Ranks by expressions over the end of a module's path; the first that matches counts.</summary>
    public IReadOnlyDictionary<string, int>? RankPattern { get; init; }

    /// <summary>Alphas by expressions over the end of a module's path; the first that matches counts.</summary>
    public IReadOnlyDictionary<string, double>? AlphaPattern { get; init; }

    /// <summary>Modules that are trained whole and stored with the adapter, for instance <c>lm_head</c>; null for none. They win over <see cref="Targets"/>.</summary>
    public IReadOnlyList<string>? ModulesToSave { get; init; }

    /// <summary>Whether the n-gram tables are trained: whole tables in the adapter's file, gradients for the rows of a step alone.</summary>
    public bool TrainNGramTables { get; init; }

    /// <summary>Annealing of AFA-LoRA; null for an adapter that is linear from the start.</summary>
    public AfaOptions? Afa { get; init; }

    /// <summary>Whether <see cref="UseDora"/> may go with <see cref="Afa"/>. Experimental: while β is not 0 the norms are those of the linear part alone.</summary>
    public bool AllowDoraWithAfa { get; init; }

    /// <summary>Seed of initial values and dropout: equal seeds give equal adapters on every machine.</summary>
    public ulong Seed { get; init; }

    /// <summary>Refuses values that are out of range and combinations that are not exact.</summary>
    /// <exception cref="ArgumentException">A value is out of range, or two do not go together; the message names them, the reason and what to do.</exception>
    public void Validate()
    {
        Check(Rank >= 1, nameof(Rank), Rank, "1 or more");
        Check(double.IsFinite(Alpha) && Alpha > 0, nameof(Alpha), Alpha, "a positive number");
        Check(Dropout >= 0 && Dropout < 1, nameof(Dropout), Dropout, "0 to below 1");
        Check(Enum.IsDefined(Initialization.Kind), nameof(Initialization), Initialization.Kind, "one of " + string.Join(", ", Enum.GetNames<LoraInitializationKind>()));
        Check(Initialization.Iterations >= 0, $"{nameof(Initialization)}.Iterations", Initialization.Iterations, "0 or more");
        foreach (var (pattern, rank) in RankPattern ?? new Dictionary<string, int>())
        {
            Check(rank >= 1, $"{nameof(RankPattern)}[{pattern}]", rank, "1 or more");
        }

        foreach (var (pattern, alpha) in AlphaPattern ?? new Dictionary<string, double>())
        {
            Check(double.IsFinite(alpha) && alpha > 0, $"{nameof(AlphaPattern)}[{pattern}]", alpha, "a positive number");
        }

        Afa?.Validate();
        bool pissa = Initialization.Kind == LoraInitializationKind.Pissa;
        if (pissa && Afa is { BetaStart: > 0 } afa)
        {
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture,
                $"PiSSA does not go with AFA-LoRA from BetaStart = {afa.BetaStart} on: the weight is reduced by s·B·A, but s·B·φ(A·x) is added back, so the model would be another one before the first step; choose the default initialization, or no annealing"));
        }

        if (pissa && UseDora)
        {
            throw new ArgumentException("PiSSA does not go with DoRA: an adapter that was split off the weight is stored as the difference to its start, which magnitudes do not allow; choose one of the two");
        }

        if (UseDora && Afa is { BetaStart: > 0 } && !AllowDoraWithAfa)
        {
            throw new ArgumentException("DoRA does not go with AFA-LoRA: its norms are defined for the linear change W + s·B·A alone; choose one of the two, or set AllowDoraWithAfa to take the norms of the linear part");
        }
    }

    /// <summary>The same in PEFT's terms.</summary>
    internal PeftConfig ToPeft() => new()
    {
        Rank = Rank,
        Alpha = Alpha,
        Dropout = Dropout,
        UseRsLora = UseRsLora,
        UseDora = UseDora,
        InitLoraWeights = Initialization.PeftName,
        Targets = Targets ?? AdapterTargets.Preset("attention-dense"),
        ExcludeModules = Exclude,
        LayersToTransform = Layers,
        LayersPattern = LayersPattern,
        RankPattern = RankPattern,
        AlphaPattern = AlphaPattern,
        ModulesToSave = ModulesToSave,
    };

    private static void Check(bool condition, string name, object value, string expected)
    {
        if (!condition)
        {
            throw new ArgumentException(string.Create(CultureInfo.InvariantCulture, $"{nameof(LoraOptions)}.{name} is {value}, expected {expected}"));
        }
    }
}
