namespace LongCat.ML.Checkpoints;

/// <summary>How a statement ended.</summary>
internal enum TemplateSignal
{
    /// <summary>At its end.</summary>
    None,

    /// <summary>With <c>break</c>.</summary>
    Break,

    /// <summary>With <c>continue</c>.</summary>
    Continue,
}

/// <summary>A statement of a template.</summary>
/// <param name="template">Name of the template, for errors.</param>
/// <param name="line">The line it starts on.</param>
internal abstract class TemplateStatement(string template, int line)
{
    public int Line { get; } = line;

    protected string Template { get; } = template;

    /// <exception cref="ChatTemplateException">It cannot be carried out; with this statement's line, or that of what is at fault inside.</exception>
    public TemplateSignal Execute(TemplateRun run, TemplateScope scope)
    {
        try
        {
            run.Step();
            return Body(run, scope);
        }
        catch (TemplateFault fault)
        {
            throw new ChatTemplateException(Template, Line, fault.Message);
        }
    }

    /// <summary>Carries statements out in order, up to a break or continue.</summary>
    public static TemplateSignal Execute(TemplateStatement[] statements, TemplateRun run, TemplateScope scope)
    {
        foreach (TemplateStatement statement in statements)
        {
            TemplateSignal signal = statement.Execute(run, scope);
            if (signal != TemplateSignal.None)
            {
                return signal;
            }
        }

        return TemplateSignal.None;
    }

    protected abstract TemplateSignal Body(TemplateRun run, TemplateScope scope);
}
