using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// What <c>adapter_config.json</c> says about a LoRA adapter, in PEFT's terms. Immutable; change a setting with a <c>with</c> expression. Keys of the file that are not
/// named here are kept when the configuration is written again.
/// </summary>
public sealed partial record PeftConfig
{
    /// <summary>The file's name.</summary>
    public const string FileName = "adapter_config.json";

    /// <summary><c>peft_type</c>: always <c>LORA</c>; other types are refused when a file is read.</summary>
    public string PeftType { get; } = "LORA";

    /// <summary><c>task_type</c>: <c>CAUSAL_LM</c> by default.</summary>
    public string? TaskType { get; init; } = "CAUSAL_LM";

    /// <summary><c>base_model_name_or_path</c>: what the base model is called; null where nobody said. Nothing is looked up by it.</summary>
    public string? BaseModelNameOrPath { get; init; }

    /// <summary><c>revision</c> of the base model.</summary>
    public string? Revision { get; init; }

    /// <summary><c>r</c>: the rank of modules that <see cref="RankPattern"/> does not name; at least 1.</summary>
    public int Rank { get; init; } = 8;

    /// <summary><c>lora_alpha</c>: of modules that <see cref="AlphaPattern"/> does not name.</summary>
    public double Alpha { get; init; } = 8;

    /// <summary><c>lora_dropout</c>: the share of inputs that training drops before A; 0 to below 1.</summary>
    public double Dropout { get; init; }

    /// <summary><c>use_rslora</c>: whether the scale is alpha / √r (arXiv 2312.03732) instead of alpha / r.</summary>
    public bool UseRsLora { get; init; }

    /// <summary><c>use_dora</c>: whether modules have magnitudes (arXiv 2402.09353).</summary>
    public bool UseDora { get; init; }

    /// <summary><c>init_lora_weights</c>: <c>true</c>, <c>false</c>, <c>gaussian</c>, <c>pissa</c>, <c>pissa_niter_16</c> … See <see cref="ChangesBase"/>.</summary>
    public string InitLoraWeights { get; init; } = "true";

    /// <summary><c>target_modules</c>; null where only <see cref="TargetParameters"/> are given.</summary>
    public AdapterTargets? Targets { get; init; }

    /// <summary><c>exclude_modules</c>: an expression or names; null for none.</summary>
    public AdapterTargets? ExcludeModules { get; init; }

    /// <summary><c>modules_to_save</c>: modules that are trained and stored whole; null for none.</summary>
    public IReadOnlyList<string>? ModulesToSave { get; init; }

    /// <summary><c>rank_pattern</c>: ranks by regular expressions over the end of a module's path; the first that matches counts. Null or empty for none.</summary>
    public IReadOnlyDictionary<string, int>? RankPattern { get; init; }

    /// <summary><c>alpha_pattern</c>: alphas by regular expressions over the end of a module's path; the first that matches counts. Null or empty for none.</summary>
    public IReadOnlyDictionary<string, double>? AlphaPattern { get; init; }

    /// <summary><c>layers_to_transform</c>: the layers that are changed; null or empty for all.</summary>
    public IReadOnlyList<int>? LayersToTransform { get; init; }

    /// <summary><c>layers_pattern</c>: what stands before a layer's number; null or empty for whatever comes first.</summary>
    public IReadOnlyList<string>? LayersPattern { get; init; }

    /// <summary><c>target_parameters</c>: parameters, not modules, that are changed, for instance <c>mlp.experts.gate_up_proj</c>; null for none.</summary>
    public IReadOnlyList<string>? TargetParameters { get; init; }

    /// <summary><c>bias</c>: which biases of the base model are trained and stored, <c>none</c>, <c>all</c> or <c>lora_only</c>.</summary>
    public string Bias { get; init; } = "none";

    /// <summary><c>lora_bias</c>: whether B has a bias.</summary>
    public bool LoraBias { get; init; }

    /// <summary><c>peft_version</c>: the version of PEFT that wrote the file; null where none did.</summary>
    public string? PeftVersion { get; init; }

    /// <summary>
    /// Whether training began with a change of the base weight (PiSSA, OLoRA and others): then the adapter does not go with the published base weights, until it was converted
    /// (<see cref="PeftAdapter.SubtractInitial"/>).
    /// </summary>
    public bool ChangesBase => InitLoraWeights.StartsWith("pissa", StringComparison.OrdinalIgnoreCase)
        || BaseChangingInitializations.Contains(InitLoraWeights, StringComparer.OrdinalIgnoreCase);

    /// <summary>What the file said, key by key; null for a configuration that comes from none.</summary>
    internal JsonObject? Original { get; init; }

    private static readonly string[] BaseChangingInitializations = ["olora", "corda", "lora_ga", "loftq"];

    /// <summary>The rank of a module.</summary>
    /// <param name="modulePath">The module's path in the base model.</param>
    /// <returns>The rank that <see cref="RankPattern"/> gives, or <see cref="Rank"/>.</returns>
    /// <exception cref="AdapterException">A key of the pattern is no regular expression.</exception>
    public int RankOf(string modulePath) => Lookup(RankPattern, "rank_pattern", Parameter(modulePath), Rank);

    /// <summary>The alpha of a module.</summary>
    /// <param name="modulePath">The module's path in the base model.</param>
    /// <returns>The alpha that <see cref="AlphaPattern"/> gives, or <see cref="Alpha"/>.</returns>
    /// <exception cref="AdapterException">A key of the pattern is no regular expression.</exception>
    public double AlphaOf(string modulePath) => Lookup(AlphaPattern, "alpha_pattern", Parameter(modulePath), Alpha);

    /// <summary>What the product of a module's matrices is multiplied by.</summary>
    /// <param name="modulePath">The module's path in the base model.</param>
    /// <returns>alpha / r, or alpha / √r with <see cref="UseRsLora"/>.</returns>
    /// <exception cref="AdapterException">A key of a pattern is no regular expression.</exception>
    public double ScaleOf(string modulePath) => AlphaOf(modulePath) / (UseRsLora ? Math.Sqrt(RankOf(modulePath)) : RankOf(modulePath));

    /// <summary>The modules of a model that this configuration changes, not counting <see cref="TargetParameters"/>.</summary>
    /// <param name="config">The model's config.</param>
    /// <returns>Paths in the order of the forward pass.</returns>
    /// <exception cref="AdapterException">A target matches nothing, or there is none.</exception>
    public IReadOnlyList<string> Resolve(ModelConfig config) => Targets is null
        ? throw new AdapterException("the adapter's configuration", "target_modules is missing, expected an expression, names, or all-linear")
        : Targets.Resolve(config, ExcludeModules, LayersToTransform, LayersPattern, ModulesToSave);

    /// <summary>PEFT names the parameter, not the expert's projection, where all experts lie in one.</summary>
    private string Parameter(string modulePath) => TargetParameters is { Count: > 0 } ? FusedExperts.ParameterOf(modulePath, TargetParameters) ?? modulePath : modulePath;

    private static T Lookup<T>(IReadOnlyDictionary<string, T>? pattern, string key, string modulePath, T otherwise)
    {
        ArgumentNullException.ThrowIfNull(modulePath);
        foreach ((string source, T value) in pattern ?? EmptyPattern<T>.Instance)
        {
            if (PythonPattern.End("the adapter's configuration", key, source).IsMatch(modulePath))
            {
                return value;
            }
        }

        return otherwise;
    }

    private static class EmptyPattern<T>
    {
        public static readonly Dictionary<string, T> Instance = [];
    }
}
