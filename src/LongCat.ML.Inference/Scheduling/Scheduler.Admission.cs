using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>Gives every running request the pages up to its target; the youngest ones give theirs up where there are not enough.</summary>
    private void GrowRunning()
    {
        for (int i = 0; _pool is not null && i < _running.Count; i++)
        {
            Sequence sequence = _running[i];
            int needed = _pool.PagesFor(sequence.Target);
            while (sequence.Pages.Count < needed)
            {
                if (_pool.Available > 0)
                {
                    sequence.Pages.Add(_pool.Allocate());
                    continue;
                }

                // The oldest request never reaches itself here: alone it fits, or it would not have entered.
                Sequence youngest = _running[^1];
                Preempt(youngest);
                if (youngest == sequence)
                {
                    break;
                }
            }
        }
    }

    private void Preempt(Sequence sequence)
    {
        _running.Remove(sequence);
        FreePages(sequence);
        InsertByOrder(_waiting, sequence);
        Preemptions++;
    }

    /// <summary>Lets waiting requests in, oldest first, while there are places and pages.</summary>
    private void Admit()
    {
        for (int i = 0; i < _waiting.Count && _running.Count < _limits.MaxSequences;)
        {
            Sequence sequence = _waiting[i];
            int shared = SharedPages(sequence);
            if (SoonShared(sequence) > shared)
            {
                // A running request computes pages that this one can use in a moment: computing them twice would take longer than waiting.
                i++;
                continue;
            }

            if (!HasPages(sequence, shared) || !HasStreamingPages(sequence))
            {
                return;
            }

            TakeSharedPages(sequence, shared);
            PrefixHitTokens += sequence.Computed;
            sequence.FoundTokens ??= sequence.Computed;
            while (_pool is not null && sequence.Pages.Count < _pool.PagesFor(sequence.Target))
            {
                sequence.Pages.Add(_pool.Allocate());
            }

            _waiting.RemoveAt(i);
            InsertByOrder(_running, sequence);
        }
    }

    /// <summary>How many leading pages of a waiting request are there already: as many as both pools hold what is read from there on.</summary>
    internal int SharedPages(Sequence sequence)
    {
        int most = ShareablePages(sequence);
        sequence.NameContent(most, _pageSize);
        if (_pool is not null)
        {
            // Whoever holds a page holds the pages before it and gives them back later, so a page is never there without those before it.
            most = CountLeading(most, index => _pool.TryFind(sequence.Keys[index], out _));
        }

        return _streaming is null ? most : StreamingShared(sequence, most);
    }

    /// <summary>Whether the pool has the rest of the pages of a waiting request.</summary>
    private bool HasPages(Sequence sequence, int shared)
    {
        if (_pool is null)
        {
            return true;
        }

        // Pages that nobody else holds count as available until this request takes them; who holds one of them holds those before it.
        int held = CountLeading(shared, index => _pool.TryFind(sequence.Keys[index], out int page) && _pool.References(page) > 0);

        // Each running request that still grows may want a page soon; admitting into the last pages would only preempt the newcomer again.
        int needed = _pool.PagesFor(sequence.Target) - shared;
        return _pool.Available - (shared - held) >= needed + _running.Count(other => other.Pages.Count < _pool.PagesFor(other.MaxCachedTokens));
    }

    /// <summary>Takes references to pages that <see cref="SharedPages"/> counted.</summary>
    private void TakeSharedPages(Sequence sequence, int shared)
    {
        for (int i = 0; i < shared && _pool is not null; i++)
        {
            if (!_pool.TryFind(sequence.Keys[i], out int page))
            {
                throw new InvalidOperationException($"page {i} of a shared beginning of {shared} pages is gone");
            }

            _pool.Retain(page);
            sequence.Pages.Add(page);
        }

        if (_streaming is not null)
        {
            TakeSharedStreamingPages(sequence, shared);
        }

        sequence.PagesVersion = ++_versions;
        sequence.PublishedPages = shared;
        sequence.Computed = shared * _pageSize;
        sequence.Exact = sequence.Computed;
        sequence.DraftComputed = sequence.Computed;
    }

    /// <summary>The most pages that a running request is about to compute and that begin this request too.</summary>
    private int SoonShared(Sequence sequence)
    {
        int most = ShareablePages(sequence);
        int best = 0;
        foreach (Sequence other in _running)
        {
            // A key says everything that is before it, so equal keys come first and then no more.
            int common = CountLeading(Math.Min(most, Math.Min(sequence.Keys.Count, other.Keys.Count)), index => sequence.Keys[index] == other.Keys[index]);
            if (common > best && other.Computed < common * _pageSize)
            {
                best = common;
            }
        }

        return best;
    }

    /// <summary>Whole pages before the first position whose row is wanted: that position itself must be computed.</summary>
    private int ShareablePages(Sequence sequence) => sequence.NextRow / _pageSize;

    /// <summary>How many leading indexes below a count have a property that is lost once and for all.</summary>
    private static int CountLeading(int count, Func<int, bool> has)
    {
        int least = 0;
        int most = count;
        while (least < most)
        {
            int middle = least + ((most - least + 1) / 2);
            (least, most) = has(middle - 1) ? (middle, most) : (least, middle - 1);
        }

        return least;
    }
}
