namespace LongCat.ML.Checkpoints;

/// <summary>The methods of a dictionary.</summary>
internal static class MapMethods
{
    public static TemplateFunction? Find(TemplateMap map, string name) => name switch
    {
        "get" => new TemplateFunction(name, (_, arguments) =>
        {
            object?[] bound = arguments.Bind(name, 1, "key", "default");
            return map.TryGet(bound[0], out object? value) ? value : ReferenceEquals(bound[1], TemplateArguments.Missing) ? null : bound[1];
        }),
        "items" => new TemplateFunction(name, (run, arguments) => Items(run, map, arguments)),
        "keys" => new TemplateFunction(name, (run, arguments) =>
        {
            arguments.Bind(name, 0);
            run.Charge(4L * map.Count);
            return new TemplateList([.. map.Keys]);
        }),
        "values" => new TemplateFunction(name, (run, arguments) =>
        {
            arguments.Bind(name, 0);
            run.Charge(4L * map.Count);
            return new TemplateList([.. map.Entries.Select(entry => entry.Value)]);
        }),
        "copy" => new TemplateFunction(name, (_, arguments) =>
        {
            arguments.Bind(name, 0);
            return map;
        }),
        "clear" or "pop" or "popitem" or "setdefault" or "update" => ListMethods.Changing("dictionary", name),
        _ => null,
    };

    /// <summary>Pairs of key and value.</summary>
    public static TemplateList Items(TemplateRun run, TemplateMap map, TemplateArguments arguments)
    {
        arguments.Bind("items", 0);
        run.Charge(16L * map.Count);
        return new TemplateList([.. map.Entries.Select(entry => new TemplateList([entry.Key, entry.Value], isTuple: true))]);
    }
}
