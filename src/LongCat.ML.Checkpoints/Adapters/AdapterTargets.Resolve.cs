using System.Globalization;

namespace LongCat.ML.Checkpoints;

public sealed partial record AdapterTargets
{
    /// <summary>
    /// The presets as expressions over the published names of all families, so that other readers of the file find the same modules. {0} is where a layer's number stands.
    /// </summary>
    private static readonly Dictionary<string, string> Presets = new(StringComparer.Ordinal)
    {
        ["attention"] = @"model\.layers\.{0}\.self_attn(\.[01])?\.(q_a_proj|q_b_proj|kv_a_proj_with_mqa|kv_b_proj|q_proj|k_proj|v_proj|o_proj)",
        ["attention-dense"] = @"model\.layers\.{0}\.(self_attn(\.[01])?\.(q_a_proj|q_b_proj|kv_a_proj_with_mqa|kv_b_proj|q_proj|k_proj|v_proj|o_proj)|(mlps\.[01]|mlp)\.(gate_proj|up_proj|down_proj))",
        ["experts"] = @"model\.layers\.{0}\.(mlp|block_sparse_moe)\.experts\.\d+\.(gate_proj|up_proj|down_proj|w1|w2|w3)",
    };

    /// <summary>The names that <see cref="Preset"/> knows.</summary>
    public static IReadOnlyList<string> PresetNames { get; } = [.. Presets.Keys, AllLinearName];

    /// <summary>The modules of a model that are changed.</summary>
    /// <param name="config">The model's config.</param>
    /// <param name="exclude">PEFT's <c>exclude_modules</c>: a pattern or a list; what it matches is left out. Null for none.</param>
    /// <param name="layers">PEFT's <c>layers_to_transform</c>: the numbers of the layers to change; null or empty for all. A module named by its whole path in a list is changed whatever its layer.</param>
    /// <param name="layersPattern">PEFT's <c>layers_pattern</c>: what stands before a layer's number, <c>layers</c> for instance; null or empty for whatever comes first.</param>
    /// <param name="modulesToSave">PEFT's <c>modules_to_save</c>: modules that are trained whole, which take no adapter. Null for none.</param>
    /// <returns>Paths in the order of the forward pass; at least one.</returns>
    /// <exception cref="AdapterException">The pattern, an entry of the list, the exclusion or the layers leave nothing; the message lists near names. Or an expression is malformed.</exception>
    /// <exception cref="ArgumentException"><paramref name="layers"/> are given with a pattern.</exception>
    public IReadOnlyList<string> Resolve(
        ModelConfig config,
        AdapterTargets? exclude = null,
        IReadOnlyList<int>? layers = null,
        IReadOnlyList<string>? layersPattern = null,
        IReadOnlyList<string>? modulesToSave = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        return Resolve(ModelModule.Of(config), exclude, layers, layersPattern, modulesToSave);
    }

    /// <summary>The modules of a list that are changed; the rules are those of PEFT.</summary>
    /// <param name="modules">All modules of a model. Those of kind <see cref="ModuleKind.Other"/> are never changed.</param>
    /// <param name="exclude">As in the other overload.</param>
    /// <param name="layers">As in the other overload.</param>
    /// <param name="layersPattern">As in the other overload.</param>
    /// <param name="modulesToSave">As in the other overload.</param>
    /// <returns>Paths in the order given; at least one.</returns>
    /// <exception cref="AdapterException">As in the other overload.</exception>
    /// <exception cref="ArgumentException"><paramref name="layers"/> are given with a pattern.</exception>
    public IReadOnlyList<string> Resolve(
        IEnumerable<ModelModule> modules,
        AdapterTargets? exclude = null,
        IReadOnlyList<int>? layers = null,
        IReadOnlyList<string>? layersPattern = null,
        IReadOnlyList<string>? modulesToSave = null)
    {
        ArgumentNullException.ThrowIfNull(modules);
        bool someLayers = layers is { Count: > 0 };
        if (Pattern is not null && someLayers)
        {
            throw new ArgumentException("layers are given with a regular expression as target; write the layers into the expression, or name modules", nameof(layers));
        }

        ModelModule[] all = [.. modules];
        ModelModule[] adaptable = [.. all.Where(m => m.Kind != ModuleKind.Other)];
        Func<ModelModule, bool> named = Selector(layers, out Func<ModelModule, bool> exact);
        ModelModule[] matched = [.. adaptable.Where(named)];
        Refuse(matched, all, adaptable, named);

        Func<string, bool> excluded = Excluder(exclude, modulesToSave);
        Func<string, bool> inLayers = someLayers && PresetName is null or AllLinearName ? LayerFilter(layers!, layersPattern) : _ => true;
        string[] result = [.. matched.Where(m => !excluded(m.Path) && (exact(m) || inLayers(m.Path))).Select(m => m.Path)];
        return result.Length > 0 ? result : throw new AdapterException(Describe(), $"matches {matched.Length} modules, {matched[0].Path} for instance, of which "
            + $"{matched.Count(m => excluded(m.Path))} are excluded or saved whole and the rest is in no chosen layer{(someLayers ? $" ({string.Join(", ", layers!)})" : "")}; choose other targets, exclusions or layers");
    }

    /// <summary>The targets as PEFT can read them: presets become the expression that they stand for, the layers written into it.</summary>
    internal AdapterTargets ForPeft(IReadOnlyList<int>? layers, out bool layersWithin)
    {
        layersWithin = PresetName is not null and not AllLinearName;
        return layersWithin ? new AdapterTargets(PresetPattern(layers), null, null) : this;
    }

    private string PresetPattern(IReadOnlyList<int>? layers) => Presets[PresetName!].Replace(
        "{0}",
        layers is { Count: > 0 } ? $"({string.Join("|", layers.Select(l => l.ToString(CultureInfo.InvariantCulture)))})" : @"\d+",
        StringComparison.Ordinal);

    private Func<ModelModule, bool> Selector(IReadOnlyList<int>? layers, out Func<ModelModule, bool> exact)
    {
        exact = _ => false;
        if (PresetName == AllLinearName)
        {
            return m => m.Kind == ModuleKind.Linear;
        }

        if (List is null)
        {
            PythonPattern pattern = PythonPattern.Whole("the adapter's targets", "target_modules", Pattern ?? PresetPattern(layers));
            return m => pattern.IsMatch(m.Path);
        }

        HashSet<string> paths = [.. List];
        exact = m => paths.Contains(m.Path);
        return m => paths.Contains(m.Path) || EndsInOne(m.Path, List);
    }

    private static Func<string, bool> Excluder(AdapterTargets? exclude, IReadOnlyList<string>? modulesToSave)
    {
        PythonPattern[] saved = [.. (modulesToSave ?? []).Select(m => PythonPattern.Part("the adapter's targets", "modules_to_save", m))];
        PythonPattern? pattern = exclude?.Pattern is { } source ? PythonPattern.Whole("the adapter's targets", "exclude_modules", source) : null;
        if (exclude?.PresetName is { } preset)
        {
            throw new AdapterException("the adapter's targets", $"exclude_modules is the preset {preset}, expected a regular expression or names");
        }

        return path => (pattern?.IsMatch(path) ?? false)
            || (exclude?.List is { } names && (names.Contains(path) || EndsInOne(path, names)))
            || saved.Any(s => s.IsMatch(path));
    }

    private static Func<string, bool> LayerFilter(IReadOnlyList<int> layers, IReadOnlyList<string>? layersPattern)
    {
        PythonPattern[] patterns = layersPattern is { Count: > 0 }
            ? [.. layersPattern.Select(p => PythonPattern.LayerIndex("the adapter's targets", p))]
            : [PythonPattern.LayerIndex("the adapter's targets", null)];
        return path => patterns.Select(p => p.Layer(path)).FirstOrDefault(layer => layer is not null) is int found && layers.Contains(found);
    }

    private static bool EndsInOne(string path, IReadOnlyList<string> names)
    {
        foreach (string name in names)
        {
            if (path.Length > name.Length && path[path.Length - name.Length - 1] == '.' && path.EndsWith(name, StringComparison.Ordinal))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Refuses targets, or an entry of a list, that no module answers to.</summary>
    private void Refuse(ModelModule[] matched, ModelModule[] all, ModelModule[] adaptable, Func<ModelModule, bool> named)
    {
        string[] paths = [.. adaptable.Select(m => m.Path)];
        if (List is null)
        {
            if (matched.Length == 0)
            {
                throw all.FirstOrDefault(named) is { } other
                    ? TakesNone(other)
                    : new AdapterException(Describe(), $"matches no module of the model; it is compared with whole paths, of which there are "
                        + $"{string.Join(", ", Kinds(paths).Take(8))}; {NearNames.Hint(Pattern ?? PresetName!, paths)}");
            }

            return;
        }

        foreach (string name in List)
        {
            if (!matched.Any(m => m.Path == name || EndsInOne(m.Path, [name])))
            {
                throw all.FirstOrDefault(m => m.Path == name || EndsInOne(m.Path, [name])) is { } other
                    ? TakesNone(other)
                    : new AdapterException("the adapter's targets", name, $"matches no module of the model; expected a module's path or its end after a point; {NearNames.Hint(name, paths)}");
            }
        }
    }

    private AdapterException TakesNone(ModelModule module) =>
        new("the adapter's targets", module.Path, "is no projection and no embedding, so it takes no adapter; to train it whole put it into modules_to_save");

    private string Describe() => $"target {CheckpointException.Printable(ToString())}";

    /// <summary>One path of each kind of module, numbers aside.</summary>
    private static IEnumerable<string> Kinds(IEnumerable<string> paths) => paths.DistinctBy(p => string.Concat(p.Where(c => !char.IsAsciiDigit(c))));
}
