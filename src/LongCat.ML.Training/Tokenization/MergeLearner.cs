namespace LongCat.ML.Training.Tokenization;

/// <summary>
/// The merge loop. Every distinct piece is held once, as its token ids; an index knows which pieces hold a pair, so that a merge touches those alone.
/// Pair counts wait in a priority queue whose entries may be out of date: one is believed only when it still agrees with the count.
/// </summary>
internal sealed class MergeLearner
{
    private readonly int[][] _words;
    private readonly int[] _lengths;
    private readonly int[] _counts;
    private readonly int _firstMergeId;
    private readonly Dictionary<long, long> _pairCounts = [];
    private readonly Dictionary<long, HashSet<int>> _wordsOfPair = [];
    private readonly PriorityQueue<(long Pair, long Count), (long NegativeCount, long Pair)> _queue = new();

    /// <param name="pieces">The distinct pieces with how often each occurs.</param>
    /// <param name="firstByteId">The id of the first of the 256 byte tokens, which are numbered in the order of their characters.</param>
    public MergeLearner(IReadOnlyList<(byte[] Bytes, int Count)> pieces, int firstByteId)
    {
        int[] order = new int[256];
        for (int i = 0; i < 256; i++)
        {
            order[TrainedBpe.BytesInOrder[i]] = i;
        }

        _words = [.. pieces.Select(piece => piece.Bytes.Select(value => firstByteId + order[value]).ToArray())];
        _lengths = [.. _words.Select(word => word.Length)];
        _counts = [.. pieces.Select(piece => piece.Count)];
        _firstMergeId = firstByteId + 256;
    }

    /// <summary>Learns merges, most frequent first.</summary>
    /// <param name="limit">At most how many.</param>
    /// <param name="minimumFrequency">Pairs that occur less often are left alone.</param>
    /// <returns>The merged ids in order; the i-th merge makes the id first-byte + 256 + i.</returns>
    public List<(int Left, int Right)> Learn(int limit, int minimumFrequency)
    {
        for (int word = 0; word < _words.Length; word++)
        {
            for (int i = 0; i + 1 < _words[word].Length; i++)
            {
                Add(Pair(_words[word][i], _words[word][i + 1]), _counts[word], word);
            }
        }

        foreach ((long pair, long count) in _pairCounts)
        {
            Enqueue(pair, count);
        }

        List<(int, int)> merges = [];
        HashSet<long> changed = [];
        while (merges.Count < limit && _queue.TryDequeue(out (long Pair, long Count) best, out _))
        {
            long current = _pairCounts.GetValueOrDefault(best.Pair);
            if (current != best.Count)
            {
                continue;
            }

            if (current < minimumFrequency)
            {
                break;
            }

            int left = (int)(best.Pair >> 32), right = (int)best.Pair;
            int merged = _firstMergeId + merges.Count;
            merges.Add((left, right));
            changed.Clear();
            foreach (int word in _wordsOfPair[best.Pair])
            {
                Merge(word, left, right, merged, changed);
            }

            _pairCounts.Remove(best.Pair);
            _wordsOfPair.Remove(best.Pair);
            changed.Remove(best.Pair);
            foreach (long pair in changed)
            {
                Enqueue(pair, _pairCounts.GetValueOrDefault(pair));
            }
        }

        return merges;
    }

    private static long Pair(int left, int right) => ((long)left << 32) | (uint)right;

    private void Enqueue(long pair, long count)
    {
        if (count > 0)
        {
            _queue.Enqueue((pair, count), (-count, pair));
        }
    }

    private void Add(long pair, long count, int word)
    {
        _pairCounts[pair] = _pairCounts.GetValueOrDefault(pair) + count;
        if (count > 0)
        {
            if (!_wordsOfPair.TryGetValue(pair, out HashSet<int>? words))
            {
                _wordsOfPair[pair] = words = [];
            }

            words.Add(word);
        }
    }

    private void Merge(int word, int left, int right, int merged, HashSet<long> changed)
    {
        int[] ids = _words[word];
        int length = _lengths[word], write = 0;
        long count = _counts[word];
        for (int read = 0; read < length; read++)
        {
            if (read + 1 < length && ids[read] == left && ids[read + 1] == right)
            {
                // The neighbour before is already merged; the one after is not yet.
                if (write > 0)
                {
                    Change(Pair(ids[write - 1], left), -count);
                    Change(Pair(ids[write - 1], merged), count);
                }

                if (read + 2 < length)
                {
                    Change(Pair(right, ids[read + 2]), -count);
                    Change(Pair(merged, ids[read + 2]), count);
                }

                ids[write++] = merged;
                read++;
            }
            else
            {
                ids[write++] = ids[read];
            }
        }

        _lengths[word] = write;

        void Change(long pair, long difference)
        {
            Add(pair, difference, word);
            changed.Add(pair);
        }
    }
}
