namespace LongCat.ML.Checkpoints;

/// <summary>What can stand left of <c>=</c>: a name, a namespace's attribute, or several of these.</summary>
internal sealed class TemplateTarget
{
    private readonly string? _name;
    private readonly string? _attribute;
    private readonly TemplateTarget[]? _parts;

    public TemplateTarget(string name, string? attribute = null)
    {
        _name = name;
        _attribute = attribute;
    }

    public TemplateTarget(TemplateTarget[] parts) => _parts = parts;

    /// <summary>The names that are assigned to.</summary>
    public IEnumerable<string> Names => _parts is null ? [_name!] : _parts.SelectMany(part => part.Names);

    public void Assign(TemplateScope scope, object? value)
    {
        if (_parts is not null)
        {
            IReadOnlyList<object?> items = value switch
            {
                TemplateList list => list.Items,
                TemplateIterator iterator => iterator.TakeAll(),
                TemplateMap map => [.. map.Keys],
                string text => CodePoints.Split(text),
                _ => throw new TemplateFault($"expected {_parts.Length} values, got {TemplateText.TypeOf(value)}"),
            };
            if (items.Count != _parts.Length)
            {
                throw new TemplateFault($"expected {_parts.Length} values, got {items.Count}");
            }

            for (int i = 0; i < _parts.Length; i++)
            {
                _parts[i].Assign(scope, items[i]);
            }
        }
        else if (_attribute is null)
        {
            scope.Set(_name!, value);
        }
        else if (scope.TryGet(_name!, out object? holder) && holder is TemplateNamespace space)
        {
            space.Attributes[_attribute] = value;
        }
        else
        {
            throw new TemplateFault($"attributes can be set on a namespace only, and `{_name}` is {(holder is null ? "none" : TemplateText.TypeOf(holder))}");
        }
    }
}

/// <summary><c>set a = value</c>.</summary>
internal sealed class SetStatement(string template, int line, TemplateTarget target, TemplateExpression value) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        target.Assign(scope, value.Evaluate(run, scope));
        return TemplateSignal.None;
    }
}

/// <summary><c>set a</c> … <c>endset</c>: what the body writes, filtered.</summary>
internal sealed class SetBlockStatement(string template, int line, TemplateTarget target, TemplateExpression filters, TemplateStatement[] body) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        TemplateScope inner = new(scope);
        string text = run.Capture(() => Execute(body, run, inner));
        inner.Set(CapturedExpression.Variable, text);
        target.Assign(scope, filters.Evaluate(run, inner));
        return TemplateSignal.None;
    }
}

/// <summary><c>with a = value</c> … <c>endwith</c>.</summary>
internal sealed class WithStatement(string template, int line, (TemplateTarget Target, TemplateExpression Value)[] variables, TemplateStatement[] body) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        // The values are those of the outer scope, whatever the order.
        TemplateScope inner = new(scope);
        foreach ((TemplateTarget target, TemplateExpression value) in variables)
        {
            target.Assign(inner, value.Evaluate(run, scope));
        }

        return Execute(body, run, inner);
    }
}
