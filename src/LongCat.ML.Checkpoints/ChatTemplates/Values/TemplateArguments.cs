namespace LongCat.ML.Checkpoints;

/// <summary>The arguments of a call: those by position, then those by name.</summary>
/// <param name="positional">By position.</param>
/// <param name="named">By name, in order.</param>
internal sealed class TemplateArguments(IReadOnlyList<object?> positional, IReadOnlyList<KeyValuePair<string, object?>> named)
{
    public static readonly TemplateArguments None = new([], []);

    /// <summary>Stands for an argument that was not given.</summary>
    public static readonly object Missing = new();

    public IReadOnlyList<object?> Positional { get; } = positional;

    public IReadOnlyList<KeyValuePair<string, object?>> Named { get; } = named;

    /// <summary>The arguments without the first ones by position.</summary>
    public TemplateArguments Skip(int count) => new([.. Positional.Skip(count)], Named);

    /// <summary>
    /// The arguments in the order of parameters; those not given are <see cref="Missing"/>.
    /// </summary>
    /// <exception cref="TemplateFault">Too many, too few, unknown, or given twice.</exception>
    public object?[] Bind(string function, int required, params ReadOnlySpan<string> parameters)
    {
        if (Positional.Count > parameters.Length)
        {
            throw new TemplateFault($"`{function}` takes at most {parameters.Length} argument(s), got {Positional.Count}");
        }

        object?[] bound = new object?[parameters.Length];
        for (int i = 0; i < bound.Length; i++)
        {
            bound[i] = i < Positional.Count ? Positional[i] : Missing;
        }

        foreach ((string name, object? value) in Named)
        {
            int index = parameters.IndexOf(name);
            if (index < 0 || !ReferenceEquals(bound[index], Missing))
            {
                throw new TemplateFault($"`{function}` got an unexpected argument `{CheckpointException.Printable(name)}`");
            }

            bound[index] = value;
        }

        for (int i = 0; i < required; i++)
        {
            if (ReferenceEquals(bound[i], Missing))
            {
                throw new TemplateFault($"`{function}` needs the argument `{parameters[i]}`");
            }
        }

        return bound;
    }

    public static string Text(string function, string parameter, object? value, string? fallback = null) =>
        value as string ?? (ReferenceEquals(value, Missing) && fallback is not null ? fallback : throw Expected(function, parameter, "a text", value));

    public static string? TextOrNull(string function, string parameter, object? value) =>
        value is null || ReferenceEquals(value, Missing) ? null : Text(function, parameter, value);

    public static long Whole(string function, string parameter, object? value, long? fallback = null) => value switch
    {
        long whole => whole,
        bool flag => flag ? 1 : 0,
        _ => ReferenceEquals(value, Missing) && fallback is { } given ? given : throw Expected(function, parameter, "a whole number", value),
    };

    public static bool Flag(object? value, bool fallback) => ReferenceEquals(value, Missing) ? fallback : TemplateOrder.IsTrue(value);

    private static Exception Expected(string function, string parameter, string expected, object? value) => value is TemplateUndefined undefined
        ? undefined.Fault()
        : new TemplateFault($"`{function}` expects {expected} as `{parameter}`, got {TemplateText.TypeOf(value)}");
}
