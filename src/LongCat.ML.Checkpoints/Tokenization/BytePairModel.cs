using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>A token inside a piece: its id (-1 for a byte that has none) and how many bytes of the piece's UTF-8 it covers.</summary>
internal readonly record struct PieceToken(int Id, int Bytes);

/// <summary>
/// Byte-pair encoding: a piece's symbols (bytes or characters) become tokens, then the adjacent pair with the lowest merge rank (the leftmost of equals) is replaced
/// by its merged token until none is left. O(n log n) in the piece's length. Thread-safe; results of short pieces are kept in a cache of bounded size.
/// </summary>
internal sealed class BytePairModel
{
    /// <summary>Longer pieces are rare and seldom come again.</summary>
    private const int LongestCachedPiece = 64;

    /// <summary>A full cache is thrown away as a whole: simpler than ageing, and natural text refills it within milliseconds.</summary>
    private const int CacheCapacity = 1 << 16;

    private readonly Dictionary<long, Merge> _merges;
    private readonly PieceSymbols _symbols;
    private readonly bool _ignoreMerges;
    private Cache _cache = new();

    /// <param name="symbols">What pieces consist of.</param>
    /// <param name="merges">For a pair (left id in the high half, right id in the low half) its rank and the id it becomes.</param>
    /// <param name="ignoreMerges">Whether a piece that is a token as a whole is taken as it is.</param>
    public BytePairModel(PieceSymbols symbols, Dictionary<long, Merge> merges, bool ignoreMerges)
    {
        _symbols = symbols;
        _merges = merges;
        _ignoreMerges = ignoreMerges;
    }

    /// <summary>How many pieces the cache holds; for tests.</summary>
    internal int CachedPieces => Volatile.Read(ref _cache).Count;

    public static long Pair(int left, int right) => ((long)left << 32) | (uint)right;

    /// <summary>Appends a piece's tokens. Lone surrogates count as U+FFFD.</summary>
    public void Encode(ReadOnlySpan<char> piece, List<PieceToken> output)
    {
        if (piece.Length > LongestCachedPiece)
        {
            EncodeUncached(piece, output);
            return;
        }

        Cache cache = Volatile.Read(ref _cache);
        if (!cache.Lookup.TryGetValue(piece, out PieceToken[]? tokens))
        {
            int start = output.Count;
            EncodeUncached(piece, output);
            if (cache.Count >= CacheCapacity)
            {
                Interlocked.CompareExchange(ref _cache, new Cache(), cache);
                cache = Volatile.Read(ref _cache);
            }

            cache.Add(piece.ToString(), CollectionsMarshal.AsSpan(output)[start..].ToArray());
            return;
        }

        output.AddRange(tokens);
    }

    private void EncodeUncached(ReadOnlySpan<char> piece, List<PieceToken> output)
    {
        if (_ignoreMerges && _symbols.TryWhole(piece, out int whole))
        {
            output.Add(new PieceToken(whole, Encoding.UTF8.GetByteCount(piece)));
        }
        else if (piece.Length > 0)
        {
            MergeAll(piece, output);
        }
    }

    private void MergeAll(ReadOnlySpan<char> piece, List<PieceToken> output)
    {
        // A linked list over positions: a merge writes its id at the left position and takes the right one out.
        int most = Encoding.UTF8.GetByteCount(piece);
        int[] ids = ArrayPool<int>.Shared.Rent(most);
        int[] sizes = ArrayPool<int>.Shared.Rent(most);
        int[] previous = ArrayPool<int>.Shared.Rent(most);
        int[] next = ArrayPool<int>.Shared.Rent(most);
        int length = _symbols.Fill(piece, ids.AsSpan(0, most), sizes);
        for (int i = 0; i < length; i++)
        {
            previous[i] = i - 1;
            next[i] = i + 1 == length ? -1 : i + 1;
        }

        // Ordered by rank, then position. Entries go stale when a neighbour merges; one counts only while its pair still has its rank.
        MergeQueue queue = new(length);
        for (int i = 0; i + 1 < length; i++)
        {
            Offer(i);
        }

        while (queue.TryDequeue(out long entry))
        {
            int left = (int)entry;
            int right = sizes[left] == 0 ? -1 : next[left];
            if (right < 0 || !_merges.TryGetValue(Pair(ids[left], ids[right]), out Merge merge) || merge.Rank != (int)(entry >> 32))
            {
                continue;
            }

            ids[left] = merge.Id;
            sizes[left] += sizes[right];
            sizes[right] = 0;
            next[left] = next[right];
            if (next[left] >= 0)
            {
                previous[next[left]] = left;
                Offer(left);
            }

            if (previous[left] >= 0)
            {
                Offer(previous[left]);
            }
        }

        for (int i = length > 0 ? 0 : -1; i >= 0; i = next[i])
        {
            output.Add(new PieceToken(ids[i], sizes[i]));
        }

        queue.Dispose();
        ArrayPool<int>.Shared.Return(ids);
        ArrayPool<int>.Shared.Return(sizes);
        ArrayPool<int>.Shared.Return(previous);
        ArrayPool<int>.Shared.Return(next);

        void Offer(int left)
        {
            if (_merges.TryGetValue(Pair(ids[left], ids[next[left]]), out Merge merge))
            {
                queue.Enqueue(((long)merge.Rank << 32) | (uint)left);
            }
        }
    }

    /// <summary>What a pair becomes.</summary>
    internal readonly record struct Merge(int Rank, int Id);

    private sealed class Cache
    {
        private readonly ConcurrentDictionary<string, PieceToken[]> _entries = new(StringComparer.Ordinal);
        private int _count;

        public Cache() => Lookup = _entries.GetAlternateLookup<ReadOnlySpan<char>>();

        public ConcurrentDictionary<string, PieceToken[]>.AlternateLookup<ReadOnlySpan<char>> Lookup { get; }

        /// <summary>Kept apart because ConcurrentDictionary.Count takes every lock.</summary>
        public int Count => Volatile.Read(ref _count);

        public void Add(string piece, PieceToken[] tokens)
        {
            if (_entries.TryAdd(piece, tokens))
            {
                Interlocked.Increment(ref _count);
            }
        }
    }
}
