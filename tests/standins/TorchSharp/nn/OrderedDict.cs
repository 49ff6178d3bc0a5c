using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace TorchSharp.Utils;

/// <summary>A dictionary that remembers the order in which its keys came.</summary>
public class OrderedDict<TKey, TValue> : IEnumerable<(TKey, TValue)>
    where TKey : notnull
{
    private readonly OrderedDictionary<TKey, TValue> _items = [];

    public int Count => _items.Count;

    public TValue this[TKey key]
    {
        get => _items[key];
        set => _items[key] = value;
    }

    public void Add(TKey key, TValue value) => _items.Add(key, value);

    public bool TryAdd(TKey key, TValue value) => _items.TryAdd(key, value);

    public bool Remove(TKey key) => _items.Remove(key);

    public bool ContainsKey(TKey key) => _items.ContainsKey(key);

    public bool TryGetValue(TKey key, [MaybeNullWhen(false)] out TValue value) => _items.TryGetValue(key, out value);

    public void clear() => _items.Clear();

    public IEnumerable<TValue> values() => _items.Values;

    public IEnumerator<(TKey, TValue)> GetEnumerator() => _items.Select(i => (i.Key, i.Value)).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>Another name for a module's field in the state dictionary.</summary>
public class ComponentNameAttribute : Attribute
{
    public string? Name { get; set; }
}
