namespace LongCat.ML.Checkpoints;

/// <summary>The variable <c>loop</c> of a for statement.</summary>
/// <param name="items">What is gone through.</param>
/// <param name="depth">How many recursive loops are around it.</param>
/// <param name="recurse">What <c>loop(items)</c> does; null where the loop is not recursive.</param>
internal sealed class TemplateLoop(IReadOnlyList<object?> items, int depth, Func<TemplateRun, object?, string>? recurse)
{
    private object? _changed = TemplateArguments.Missing;

    public int Index { get; set; }

    public object? Attribute(string name) => name switch
    {
        "index" => (long)Index + 1,
        "index0" => (long)Index,
        "revindex" => (long)items.Count - Index,
        "revindex0" => (long)items.Count - Index - 1,
        "first" => Index == 0,
        "last" => Index == items.Count - 1,
        "length" => (long)items.Count,
        "depth" => (long)depth + 1,
        "depth0" => (long)depth,
        "previtem" => Index > 0 ? items[Index - 1] : new TemplateUndefined("there is no previous item"),
        "nextitem" => Index + 1 < items.Count ? items[Index + 1] : new TemplateUndefined("there is no next item"),
        "cycle" => new TemplateFunction("loop.cycle", (_, arguments) => arguments.Positional.Count == 0
            ? throw new TemplateFault("`loop.cycle` needs an item")
            : arguments.Positional[Index % arguments.Positional.Count]),
        "changed" => new TemplateFunction("loop.changed", Changed),
        _ => TemplateUndefined.Attribute(this, name),
    };

    public string Recurse(TemplateRun run, object? children) =>
        recurse is null ? throw new TemplateFault("`loop(…)` needs a loop that is marked `recursive`") : recurse(run, children);

    private object? Changed(TemplateRun run, TemplateArguments arguments)
    {
        TemplateList value = new([.. arguments.Positional], isTuple: true);
        bool changed = !TemplateOrder.AreEqual(_changed, value, 0);
        _changed = value;
        return changed;
    }
}
