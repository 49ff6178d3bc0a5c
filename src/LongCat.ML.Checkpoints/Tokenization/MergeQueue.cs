using System.Buffers;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// A 4-ary min-heap of numbers. <see cref="PriorityQueue{TElement, TPriority}"/> keeps element and priority apart and calls a comparer; here one number
/// is both (rank above, position below), which is several times faster on long pieces. Rents its memory; dispose of it.
/// </summary>
internal struct MergeQueue(int capacity) : IDisposable
{
    private long[] _items = ArrayPool<long>.Shared.Rent(Math.Max(capacity, 4));
    private int _count;

    public void Enqueue(long item)
    {
        if (_count == _items.Length)
        {
            long[] larger = ArrayPool<long>.Shared.Rent(_count * 2);
            _items.AsSpan(0, _count).CopyTo(larger);
            ArrayPool<long>.Shared.Return(_items);
            _items = larger;
        }

        long[] items = _items;
        int at = _count++;
        while (at > 0)
        {
            int parent = (at - 1) >> 2;
            if (items[parent] <= item)
            {
                break;
            }

            items[at] = items[parent];
            at = parent;
        }

        items[at] = item;
    }

    public bool TryDequeue(out long item)
    {
        if (_count == 0)
        {
            item = 0;
            return false;
        }

        long[] items = _items;
        item = items[0];
        long last = items[--_count];
        int at = 0;
        for (int child = 1; child < _count; child = (at << 2) + 1)
        {
            int end = Math.Min(child + 4, _count), least = child;
            for (int other = child + 1; other < end; other++)
            {
                if (items[other] < items[least])
                {
                    least = other;
                }
            }

            if (items[least] >= last)
            {
                break;
            }

            items[at] = items[least];
            at = least;
        }

        items[at] = last;
        return true;
    }

    public readonly void Dispose() => ArrayPool<long>.Shared.Return(_items);
}
