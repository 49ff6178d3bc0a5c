using System.Diagnostics.CodeAnalysis;

namespace LongCat.ML.Checkpoints;

/// <summary>A dictionary of a template, in order of insertion. Filled while it is made, unchanged afterwards.</summary>
internal sealed class TemplateMap
{
    private readonly OrderedDictionary<object, object?> _entries = new(TemplateKeys.Instance);

    public int Count => _entries.Count;

    public IEnumerable<object> Keys => _entries.Keys;

    public IEnumerable<KeyValuePair<object, object?>> Entries => _entries;

    /// <exception cref="TemplateFault">The key is no text, number or truth value.</exception>
    public void Set(object? key, object? value) =>
        _entries[key is string or long or double or bool ? key : throw new TemplateFault($"expected a text or number as the key of a dictionary, got {TemplateText.TypeOf(key)}")] = value;

    public bool TryGet(object? key, [MaybeNullWhen(true)] out object? value)
    {
        value = null;
        return key is string or long or double or bool && _entries.TryGetValue(key, out value);
    }

    /// <summary>Keys that compare equal are one key: 1, 1.0 and true.</summary>
    private sealed class TemplateKeys : IEqualityComparer<object>
    {
        public static readonly TemplateKeys Instance = new();

        public new bool Equals(object? x, object? y) => TemplateOrder.AreEqual(x, y, 0);

        public int GetHashCode(object value) => value switch
        {
            string text => text.GetHashCode(StringComparison.Ordinal),
            bool flag => (flag ? 1.0 : 0.0).GetHashCode(),
            long whole => ((double)whole).GetHashCode(),
            _ => value.GetHashCode(),
        };
    }
}
