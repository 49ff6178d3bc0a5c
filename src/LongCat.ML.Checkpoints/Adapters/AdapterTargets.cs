namespace LongCat.ML.Checkpoints;

/// <summary>
/// Which modules an adapter changes: PEFT's <c>target_modules</c> (a regular expression, a list of names, or <c>all-linear</c>), or a preset by name.
/// </summary>
/// <remarks>Immutable. Thread safety: may be used concurrently.</remarks>
public sealed partial record AdapterTargets
{
    private const string AllLinearName = "all-linear";

    private AdapterTargets(string? pattern, IReadOnlyList<string>? list, string? preset) => (Pattern, List, PresetName) = (pattern, list, preset);

    /// <summary>Every projection but the output head and the routers, experts included.</summary>
    public static AdapterTargets AllLinear { get; } = new(null, null, AllLinearName);

    /// <summary>The regular expression, in Python's syntax; null unless made by <see cref="Regex"/>.</summary>
    public string? Pattern { get; }

    /// <summary>The names; null unless made by <see cref="Names(string[])"/>.</summary>
    public IReadOnlyList<string>? List { get; }

    /// <summary>The name of the preset, <c>all-linear</c> for <see cref="AllLinear"/>; null for patterns and lists.</summary>
    public string? PresetName { get; }

    /// <summary>The modules whose whole path a regular expression matches.</summary>
    /// <param name="pattern">The expression, in Python's syntax.</param>
    /// <returns>The targets.</returns>
    /// <exception cref="ArgumentException"><paramref name="pattern"/> is null or empty.</exception>
    public static AdapterTargets Regex(string pattern)
    {
        ArgumentException.ThrowIfNullOrEmpty(pattern);
        return string.Equals(pattern, AllLinearName, StringComparison.OrdinalIgnoreCase) ? AllLinear : new AdapterTargets(pattern, null, null);
    }

    /// <summary>The modules of these paths, or whose path ends in one of them after a point: <c>q_a_proj</c>, <c>self_attn.0.o_proj</c>.</summary>
    /// <param name="names">Paths or ends of paths.</param>
    /// <returns>The targets.</returns>
    /// <exception cref="ArgumentException">There is none, or one is null or empty.</exception>
    public static AdapterTargets Names(params string[] names) => Names((IEnumerable<string>)names);

    /// <summary>The modules of these paths, or whose path ends in one of them after a point: <c>q_a_proj</c>, <c>self_attn.0.o_proj</c>.</summary>
    /// <param name="names">Paths or ends of paths.</param>
    /// <returns>The targets.</returns>
    /// <exception cref="ArgumentException">There is none, or one is null or empty.</exception>
    public static AdapterTargets Names(IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);
        string[] list = [.. names];
        if (list.Length == 0 || list.Any(string.IsNullOrEmpty))
        {
            throw new ArgumentException("names without an entry or with an empty one, expected at least one module's path or end of a path", nameof(names));
        }

        return new AdapterTargets(null, list, null);
    }

    /// <summary>
    /// A preset: <c>attention</c> (the projections of every attention), <c>attention-dense</c> (those and the dense feed-forward layers, the default of training),
    /// <c>experts</c> (the projections of the routed experts), <c>all-linear</c>.
    /// </summary>
    /// <param name="name">The preset's name.</param>
    /// <returns>The targets.</returns>
    /// <exception cref="ArgumentException">There is no such preset.</exception>
    public static AdapterTargets Preset(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name == AllLinearName ? AllLinear
            : Presets.ContainsKey(name) ? new AdapterTargets(null, null, name)
            : throw new ArgumentException($"\"{name}\" is no preset of targets, expected one of {string.Join(", ", PresetNames)}", nameof(name));
    }

    /// <summary>Reads targets as a user writes them on a command line: a preset's name, a list with commas, or else a regular expression.</summary>
    /// <param name="text">For instance <c>attention-dense</c>, <c>q_proj,v_proj</c> or <c>.*self_attn.*_proj</c>.</param>
    /// <returns>The targets.</returns>
    /// <exception cref="ArgumentException">The text is null or empty, or the list has an empty entry.</exception>
    public static AdapterTargets Parse(string text)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(text);
        text = text.Trim();
        if (PresetNames.Contains(text))
        {
            return Preset(text);
        }

        // Names have letters, digits, points and underscores: anything else can only be an expression.
        return text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or ',' or ' ' or '-') && !text.Contains(".*", StringComparison.Ordinal)
            ? Names(text.Split(',', StringSplitOptions.TrimEntries))
            : Regex(text);
    }

    /// <summary>The targets as a user writes them.</summary>
    /// <returns>The preset's name, the names with commas between, or the expression.</returns>
    public override string ToString() => PresetName ?? Pattern ?? string.Join(",", List!);

    /// <summary>Whether two targets are written the same.</summary>
    /// <param name="other">The other targets.</param>
    /// <returns>True when they are.</returns>
    public bool Equals(AdapterTargets? other) =>
        other is not null && Pattern == other.Pattern && PresetName == other.PresetName
        && (List is null ? other.List is null : other.List is not null && List.SequenceEqual(other.List, StringComparer.Ordinal));

    /// <summary>A hash code that goes with <see cref="Equals(AdapterTargets?)"/>.</summary>
    /// <returns>The hash code.</returns>
    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);
}
