namespace LongCat.ML.Checkpoints;

/// <summary>Text outside tags.</summary>
internal sealed class DataStatement(string template, int line, string text) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        run.Write(text);
        return TemplateSignal.None;
    }
}

/// <summary><c>{{ expression }}</c>.</summary>
internal sealed class PrintStatement(string template, int line, TemplateExpression expression) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        run.Write(TemplateText.Of(run, expression.Evaluate(run, scope)));
        return TemplateSignal.None;
    }
}

/// <summary><c>filter</c>: filters what its body writes; the expression starts at a <see cref="CapturedExpression"/>.</summary>
internal sealed class FilterStatement(string template, int line, TemplateExpression filters, TemplateStatement[] body) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        TemplateScope inner = new(scope);
        string text = run.Capture(() => Execute(body, run, inner));
        inner.Set(CapturedExpression.Variable, text);
        run.Write(TemplateText.Of(run, filters.Evaluate(run, inner)));
        return TemplateSignal.None;
    }
}

/// <summary><c>call</c>: calls a macro that may call the body back as <c>caller()</c>.</summary>
internal sealed class CallStatement(string template, int line, CallExpression call, TemplateSignature signature, TemplateStatement[] body) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope)
    {
        TemplateFunction caller = signature.Function("caller", body, scope);
        run.Write(TemplateText.Of(run, call.Call(run, scope, caller)));
        return TemplateSignal.None;
    }
}

/// <summary>Statements in a row: the parts of <c>print</c>, and <c>generation</c>, which marks an assistant's text for training and means nothing here.</summary>
internal sealed class BlockStatement(string template, int line, TemplateStatement[] body) : TemplateStatement(template, line)
{
    protected override TemplateSignal Body(TemplateRun run, TemplateScope scope) => Execute(body, run, scope);
}
