using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// Where the n-grams of a text occurred last: from the N-1 tokens before a place to that place. Holds committed tokens only; a text only grows, so an entry is never taken back.
/// </summary>
/// <param name="order">N, at least 2.</param>
internal sealed class NGramIndex(int order)
{
    // By hash: the tokens of the text itself decide whether a place really matches. Two n-grams of one hash share an entry, the later one keeps it.
    private readonly Dictionary<ulong, int> _places = [];
    private int _indexed;

    /// <summary>Adds the places of <paramref name="tokens"/> that have a token after their n-gram.</summary>
    public void Add(List<int> tokens)
    {
        ReadOnlySpan<int> span = CollectionsMarshal.AsSpan(tokens);
        for (int place = Math.Max(_indexed, order - 1); place < span.Length; place++)
        {
            _places[Hash(span.Slice(place - (order - 1), order - 1))] = place;
        }

        _indexed = span.Length;
    }

    /// <summary>The place after the latest occurrence of an n-gram, or -1.</summary>
    /// <param name="tokens">The text, as given to <see cref="Add"/>.</param>
    /// <param name="key">N-1 tokens.</param>
    public int Find(List<int> tokens, ReadOnlySpan<int> key) =>
        _places.TryGetValue(Hash(key), out int place) && CollectionsMarshal.AsSpan(tokens).Slice(place - key.Length, key.Length).SequenceEqual(key) ? place : -1;

    private static ulong Hash(ReadOnlySpan<int> tokens)
    {
        ulong hash = 0x9E3779B97F4A7C15UL;
        foreach (int token in tokens)
        {
            hash = (hash ^ (uint)token) * 0xBF58476D1CE4E5B9UL;
            hash ^= hash >> 31;
        }

        return hash;
    }
}
