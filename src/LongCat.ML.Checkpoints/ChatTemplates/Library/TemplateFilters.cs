namespace LongCat.ML.Checkpoints;

/// <summary>A filter: <c>value | name(arguments)</c>.</summary>
internal delegate object? TemplateFilter(TemplateRun run, object? value, TemplateArguments arguments);

/// <summary>The filters by name.</summary>
internal static class TemplateFilters
{
    private static readonly Dictionary<string, TemplateFilter> s_filters = new(StringComparer.Ordinal)
    {
        ["default"] = Default,
        ["d"] = Default,
        ["attr"] = Attribute,
        ["string"] = (run, value, arguments) => TextFilters.Subject(run, value, arguments, "string"),
        ["safe"] = (run, value, arguments) => TextFilters.Subject(run, value, arguments, "safe"),
        ["tojson"] = TextFilters.ToJson,
        ["trim"] = TextFilters.Trim,
        ["upper"] = (run, value, arguments) => TextFilters.Subject(run, value, arguments, "upper").ToUpperInvariant(),
        ["lower"] = (run, value, arguments) => TextFilters.Subject(run, value, arguments, "lower").ToLowerInvariant(),
        ["capitalize"] = (run, value, arguments) => TextMethods.Capitalize(TextFilters.Subject(run, value, arguments, "capitalize")),
        ["title"] = TextFilters.Title,
        ["replace"] = TextFilters.Replace,
        ["indent"] = TextFilters.Indent,
        ["center"] = TextFilters.Center,
        ["truncate"] = TextFilters.Truncate,
        ["format"] = TextFilters.Format,
        ["escape"] = TextFilters.Escape,
        ["e"] = TextFilters.Escape,
        ["wordcount"] = TextFilters.WordCount,
        ["abs"] = NumberFilters.Absolute,
        ["int"] = NumberFilters.Whole,
        ["float"] = NumberFilters.Real,
        ["round"] = NumberFilters.Round,
        ["length"] = SequenceFilters.Length,
        ["count"] = SequenceFilters.Length,
        ["first"] = SequenceFilters.First,
        ["last"] = SequenceFilters.Last,
        ["list"] = SequenceFilters.List,
        ["items"] = SequenceFilters.Items,
        ["join"] = SequenceFilters.Join,
        ["reverse"] = SequenceFilters.Reverse,
        ["batch"] = SequenceFilters.Batch,
        ["slice"] = SequenceFilters.Slice,
        ["sort"] = OrderFilters.Sort,
        ["dictsort"] = OrderFilters.SortEntries,
        ["unique"] = OrderFilters.Unique,
        ["min"] = (run, value, arguments) => OrderFilters.Extreme(run, value, arguments, "min", -1),
        ["max"] = (run, value, arguments) => OrderFilters.Extreme(run, value, arguments, "max", 1),
        ["sum"] = OrderFilters.Sum,
        ["map"] = ChoiceFilters.Map,
        ["select"] = (run, value, arguments) => ChoiceFilters.Select(run, value, arguments, attribute: false, keep: true),
        ["reject"] = (run, value, arguments) => ChoiceFilters.Select(run, value, arguments, attribute: false, keep: false),
        ["selectattr"] = (run, value, arguments) => ChoiceFilters.Select(run, value, arguments, attribute: true, keep: true),
        ["rejectattr"] = (run, value, arguments) => ChoiceFilters.Select(run, value, arguments, attribute: true, keep: false),
    };

    public static TemplateFilter? Find(string name) => s_filters.GetValueOrDefault(name);

    /// <summary>Methods and attributes only: keys of a dictionary are none.</summary>
    private static object? Attribute(TemplateRun run, object? value, TemplateArguments arguments)
    {
        string name = TemplateArguments.Text("attr", "name", arguments.Bind("attr", 1, "name")[0]);
        return value is TemplateMap map ? MapMethods.Find(map, name) ?? (object)TemplateUndefined.Attribute(map, name) : TemplateMembers.Attribute(value, name);
    }

    private static object? Default(TemplateRun run, object? value, TemplateArguments arguments)
    {
        object?[] bound = arguments.Bind("default", 0, "default_value", "boolean");
        bool replaced = value is TemplateUndefined || (TemplateArguments.Flag(bound[1], false) && !TemplateOrder.IsTrue(value));
        return !replaced ? value : ReferenceEquals(bound[0], TemplateArguments.Missing) ? string.Empty : bound[0];
    }
}
