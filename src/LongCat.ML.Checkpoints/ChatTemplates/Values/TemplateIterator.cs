namespace LongCat.ML.Checkpoints;

/// <summary>
/// What <c>map</c>, <c>select</c> and their kin give: items that can be gone through once, without a length, and always true in a condition.
/// </summary>
/// <param name="items">The items.</param>
internal sealed class TemplateIterator(IReadOnlyList<object?> items)
{
    private int _next;

    /// <summary>Takes one item; false when none is left.</summary>
    public bool TryTake(out object? item)
    {
        bool any = _next < items.Count;
        item = any ? items[_next++] : null;
        return any;
    }

    /// <summary>Takes all that is left.</summary>
    public IReadOnlyList<object?> TakeAll()
    {
        IReadOnlyList<object?> left = _next == 0 ? items : [.. items.Skip(_next)];
        _next = items.Count;
        return left;
    }
}
