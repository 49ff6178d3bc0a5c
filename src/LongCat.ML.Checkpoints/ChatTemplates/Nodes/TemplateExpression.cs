namespace LongCat.ML.Checkpoints;

/// <summary>An expression of a template.</summary>
/// <param name="template">Name of the template, for errors.</param>
/// <param name="line">The line it starts on.</param>
internal abstract class TemplateExpression(string template, int line)
{
    public int Line { get; } = line;

    /// <summary>The value.</summary>
    /// <exception cref="ChatTemplateException">It has none; with this expression's line, or that of the innermost one at fault.</exception>
    public object? Evaluate(TemplateRun run, TemplateScope scope)
    {
        try
        {
            run.Step();
            return Value(run, scope);
        }
        catch (TemplateFault fault)
        {
            throw new ChatTemplateException(template, Line, fault.Message);
        }
    }

    protected abstract object? Value(TemplateRun run, TemplateScope scope);
}
