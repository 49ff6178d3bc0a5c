namespace LongCat.ML.Checkpoints;

/// <summary>A value that is written out.</summary>
internal sealed class ConstantExpression(string template, int line, object? value) : TemplateExpression(template, line)
{
    public object? Constant { get; } = value;

    protected override object? Value(TemplateRun run, TemplateScope scope) => Constant;
}

/// <summary>A list or tuple that is written out.</summary>
internal sealed class ListExpression(string template, int line, TemplateExpression[] items, bool isTuple) : TemplateExpression(template, line)
{
    public TemplateExpression[] Items { get; } = items;

    public bool IsTuple { get; } = isTuple;

    protected override object? Value(TemplateRun run, TemplateScope scope)
    {
        object?[] values = new object?[Items.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = Items[i].Evaluate(run, scope);
        }

        return new TemplateList(values, IsTuple);
    }
}

/// <summary>A dictionary that is written out.</summary>
internal sealed class MapExpression(string template, int line, (TemplateExpression Key, TemplateExpression Value)[] entries) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope)
    {
        TemplateMap map = new();
        foreach ((TemplateExpression key, TemplateExpression value) in entries)
        {
            map.Set(key.Evaluate(run, scope), value.Evaluate(run, scope));
        }

        return map;
    }
}

/// <summary>A variable.</summary>
internal sealed class NameExpression(string template, int line, string name) : TemplateExpression(template, line)
{
    public string Name { get; } = name;

    protected override object? Value(TemplateRun run, TemplateScope scope) =>
        scope.TryGet(Name, out object? value) ? value : TemplateGlobals.Find(Name) ?? (object)TemplateUndefined.Variable(Name);
}
