namespace LongCat.ML.Checkpoints;

/// <summary>What <c>namespace()</c> gives: the one value whose attributes a template may set.</summary>
internal sealed class TemplateNamespace
{
    public Dictionary<string, object?> Attributes { get; } = new(StringComparer.Ordinal);
}
