namespace LongCat.ML.Checkpoints;

/// <summary>Something that a template can call.</summary>
/// <param name="name">Its name, for errors.</param>
/// <param name="body">What it does.</param>
internal sealed class TemplateFunction(string name, Func<TemplateRun, TemplateArguments, object?> body)
{
    public string Name { get; } = name;

    public object? Call(TemplateRun run, TemplateArguments arguments) => body(run, arguments);
}
