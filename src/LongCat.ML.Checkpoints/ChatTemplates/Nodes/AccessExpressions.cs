namespace LongCat.ML.Checkpoints;

/// <summary><c>a.b</c>.</summary>
internal sealed class AttributeExpression(string template, int line, TemplateExpression target, string name) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => TemplateMembers.Attribute(target.Evaluate(run, scope), name);
}

/// <summary><c>a[b]</c>.</summary>
internal sealed class ItemExpression(string template, int line, TemplateExpression target, TemplateExpression key) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => TemplateMembers.Item(run, target.Evaluate(run, scope), key.Evaluate(run, scope));
}

/// <summary><c>a[start:stop:step]</c>.</summary>
internal sealed class SliceExpression(string template, int line, TemplateExpression target, TemplateExpression? start, TemplateExpression? stop, TemplateExpression? step)
    : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) =>
        TemplateMembers.Slice(run, target.Evaluate(run, scope), start?.Evaluate(run, scope), stop?.Evaluate(run, scope), step?.Evaluate(run, scope));
}

/// <summary>A call, with what is called and its arguments.</summary>
internal sealed class CallExpression(string template, int line, TemplateExpression target, ArgumentExpressions arguments) : TemplateExpression(template, line)
{
    /// <summary>Calls with a <c>caller</c>, as a call block does.</summary>
    public object? Call(TemplateRun run, TemplateScope scope, TemplateFunction? caller)
    {
        object? function = target.Evaluate(run, scope);
        TemplateArguments values = arguments.Evaluate(run, scope, caller);
        return function switch
        {
            TemplateFunction callable => callable.Call(run, values),
            TemplateLoop loop => loop.Recurse(run, values.Bind("loop", 1, "items")[0]),
            TemplateUndefined undefined => throw undefined.Fault(),
            _ => throw new TemplateFault($"{TemplateText.TypeOf(function)} cannot be called"),
        };
    }

    protected override object? Value(TemplateRun run, TemplateScope scope) => Call(run, scope, null);
}

/// <summary>The arguments of a call, filter or test, still to be evaluated.</summary>
/// <param name="Positional">By position.</param>
/// <param name="Named">By name.</param>
/// <param name="List">A list of further ones by position (<c>*items</c>), or null.</param>
/// <param name="Map">A dictionary of further ones by name (<c>**items</c>), or null.</param>
internal sealed record ArgumentExpressions(TemplateExpression[] Positional, (string Name, TemplateExpression Value)[] Named, TemplateExpression? List = null, TemplateExpression? Map = null)
{
    public static readonly ArgumentExpressions None = new([], []);

    public TemplateArguments Evaluate(TemplateRun run, TemplateScope scope, TemplateFunction? caller = null)
    {
        if (ReferenceEquals(this, None) && caller is null)
        {
            return TemplateArguments.None;
        }

        object?[] positional = new object?[Positional.Length];
        for (int i = 0; i < positional.Length; i++)
        {
            positional[i] = Positional[i].Evaluate(run, scope);
        }

        List<KeyValuePair<string, object?>> named = new(Named.Length + 1);
        foreach ((string name, TemplateExpression value) in Named)
        {
            named.Add(new KeyValuePair<string, object?>(name, value.Evaluate(run, scope)));
        }

        if (List is not null)
        {
            positional = [.. positional, .. TemplateMembers.Iterate(run, List.Evaluate(run, scope))];
            run.Charge(4L * positional.Length);
        }

        if (Map is not null)
        {
            TemplateMap map = Map.Evaluate(run, scope) as TemplateMap ?? throw new TemplateFault("expected a dictionary after `**`");
            foreach ((object key, object? value) in map.Entries)
            {
                named.Add(new KeyValuePair<string, object?>(key as string ?? throw new TemplateFault("the names of arguments are texts"), value));
            }
        }

        if (caller is not null)
        {
            named.Add(new KeyValuePair<string, object?>("caller", caller));
        }

        return new TemplateArguments(positional, named);
    }
}

/// <summary>A filter: <c>value | name(arguments)</c>. Without a value it filters what a block wrote.</summary>
internal sealed class FilterExpression(string template, int line, TemplateExpression value, TemplateFilter filter, ArgumentExpressions arguments) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => filter(run, value.Evaluate(run, scope), arguments.Evaluate(run, scope));
}

/// <summary>A test: <c>value is name(arguments)</c>.</summary>
internal sealed class TestExpression(string template, int line, TemplateExpression value, TemplateTest test, ArgumentExpressions arguments) : TemplateExpression(template, line)
{
    protected override object? Value(TemplateRun run, TemplateScope scope) => test(run, value.Evaluate(run, scope), arguments.Evaluate(run, scope));
}

/// <summary>A value that is put in while the template runs: the text of a filtered block.</summary>
internal sealed class CapturedExpression(string template, int line) : TemplateExpression(template, line)
{
    /// <summary>The variable it is kept in; no name of a template can have a space.</summary>
    public const string Variable = "captured text";

    protected override object? Value(TemplateRun run, TemplateScope scope) => scope.TryGet(Variable, out object? text) ? text : string.Empty;
}
