using System.Runtime.InteropServices;
using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>Gives every running request the pages up to its target; the youngest ones give theirs up where there are not enough.</summary>
    private void GrowRunning()
    {
        for (int i = 0; i < _running.Count; i++)
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
            int shared = TakeSharedPages(sequence);
            if (SoonShared(sequence) > shared)
            {
                // A running request computes pages that this one can use in a moment: computing them twice would take longer than waiting.
                FreePages(sequence);
                i++;
                continue;
            }

            // Each running request that still grows may want a page soon; admitting into the last pages would only preempt the newcomer again.
            int needed = _pool.PagesFor(sequence.Target) - shared;
            if (_pool.Available < needed + _running.Count(other => other.Pages.Count < _pool.PagesFor(other.MaxCachedTokens)))
            {
                FreePages(sequence);
                return;
            }

            for (int page = 0; page < needed; page++)
            {
                sequence.Pages.Add(_pool.Allocate());
            }

            PrefixHitTokens += sequence.Computed;
            _waiting.RemoveAt(i);
            InsertByOrder(_running, sequence);
        }
    }

    /// <summary>Takes references to the pages that already hold this request's beginning.</summary>
    /// <returns>How many pages.</returns>
    private int TakeSharedPages(Sequence sequence)
    {
        ReadOnlySpan<int> tokens = CollectionsMarshal.AsSpan(sequence.Tokens);
        int most = ShareablePages(sequence);
        for (int i = 0; i < most; i++)
        {
            if (!_pool.TryFind(sequence.Content, tokens.Slice(i * _pool.PageSize, _pool.PageSize), out int page, out long content))
            {
                break;
            }

            _pool.Retain(page);
            sequence.Pages.Add(page);
            sequence.Content = content;
        }

        sequence.PublishedPages = sequence.Pages.Count;
        sequence.Computed = sequence.Pages.Count * _pool.PageSize;
        sequence.DraftComputed = sequence.Computed;
        return sequence.Pages.Count;
    }

    /// <summary>The most pages that a running request is about to compute and that begin this request too.</summary>
    private int SoonShared(Sequence sequence)
    {
        int most = Math.Min(ShareablePages(sequence), sequence.PrefixHashes.Length);
        int best = 0;
        foreach (Sequence other in _running)
        {
            int common = 0;
            int limit = Math.Min(most, other.PrefixHashes.Length);
            while (common < limit && sequence.PrefixHashes[common] == other.PrefixHashes[common])
            {
                common++;
            }

            if (common > best && other.Computed < common * _pool.PageSize)
            {
                best = common;
            }
        }

        return best;
    }

    /// <summary>Whole pages before the first position whose row is wanted: that position itself must be computed.</summary>
    private int ShareablePages(Sequence sequence) => sequence.NextRow / _pool.PageSize;
}
