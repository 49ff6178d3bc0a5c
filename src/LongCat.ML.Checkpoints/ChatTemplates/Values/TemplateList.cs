namespace LongCat.ML.Checkpoints;

/// <summary>A list or tuple of a template. It never changes once made: templates run in a sandbox without mutation.</summary>
/// <param name="items">The items; owned by the list from now on.</param>
/// <param name="isTuple">Whether it prints and compares as a tuple.</param>
internal sealed class TemplateList(IReadOnlyList<object?> items, bool isTuple = false)
{
    public IReadOnlyList<object?> Items { get; } = items;

    public bool IsTuple { get; } = isTuple;
}
