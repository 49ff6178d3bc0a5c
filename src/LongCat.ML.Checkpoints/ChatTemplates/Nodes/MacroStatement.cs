namespace LongCat.ML.Checkpoints;

/// <summary>The parameters of a macro or a caller.</summary>
/// <param name="Parameters">Names, in order, with what they are when left out (null: undefined).</param>
internal sealed record TemplateSignature((string Name, TemplateExpression? Default)[] Parameters)
{
    /// <summary>A function that runs a body and gives what it writes.</summary>
    public TemplateFunction Function(string name, TemplateStatement[] body, TemplateScope definition) =>
        new(name, (run, arguments) => run.Capture(() => TemplateStatement.Execute(body, run, Bind(name, run, arguments, definition))));

    private TemplateScope Bind(string name, TemplateRun run, TemplateArguments arguments, TemplateScope definition)
    {
        TemplateScope scope = new(definition);
        List<KeyValuePair<string, object?>> named = [.. arguments.Named];
        int caller = named.FindIndex(argument => argument.Key == "caller" && !Parameters.Any(parameter => parameter.Name == "caller"));
        if (caller >= 0)
        {
            scope.Set("caller", named[caller].Value);
            named.RemoveAt(caller);
        }

        object?[] bound = new TemplateArguments(arguments.Positional, named).Bind(name, 0, [.. Parameters.Select(parameter => parameter.Name)]);
        for (int i = 0; i < bound.Length; i++)
        {
            (string parameter, TemplateExpression? fallback) = Parameters[i];
            scope.Set(parameter, !ReferenceEquals(bound[i], TemplateArguments.Missing) ? bound[i] : fallback is null ? TemplateUndefined.Variable(parameter) : fallback.Evaluate(run, scope));
        }

        return scope;
    }
}

/// <summary><c>macro</c>: defines a function that gives text.</summary>
internal sealed class MacroStatement(string template, int line, string name, TemplateSignature signature, TemplateStatement[] body) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        scope.Set(name, signature.Function(name, body, scope));
        return TemplateSignal.None;
    }
}
