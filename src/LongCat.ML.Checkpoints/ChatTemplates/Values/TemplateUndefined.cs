namespace LongCat.ML.Checkpoints;

/// <summary>What a missing variable, key or attribute gives: prints as nothing, is false and empty, and refuses everything else.</summary>
/// <param name="description">What is missing, for the error.</param>
internal sealed class TemplateUndefined(string description)
{
    /// <summary>The error of a use that is not allowed.</summary>
    public TemplateFault Fault() => new(description);

    public static TemplateUndefined Variable(string name) => new($"`{name}` is undefined");

    public static TemplateUndefined Attribute(object? owner, object? name) =>
        new($"{TemplateText.TypeOf(owner)} has no `{CheckpointException.Printable(TemplateText.Short(name))}`");
}
