using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Scheduling;

internal sealed partial class Scheduler
{
    private readonly List<DraftSlot> _slots = [];

    /// <summary>Proposes tokens for requests that generate; null for none.</summary>
    public Speculator? Speculator { get; init; }

    /// <summary>
    /// Gives requests with one token to compute as many proposed ones as they want and as fit: they share what the step has left in equal parts, never displace a request or a
    /// prompt, and never take pages from anyone.
    /// </summary>
    /// <param name="tokens">Tokens that the step has left for this.</param>
    /// <param name="rows">Rows of logits likewise.</param>
    /// <param name="pages">Streaming pages that no request has reserved.</param>
    private void Draft(int tokens, int rows, ref int pages)
    {
        _slots.Clear();
        foreach (Sequence candidate in _candidates)
        {
            candidate.Drafts.Clear();
            if (Speculator is { Stopped: null } && candidate is GenerationSequence { Speculation: { } state } sequence)
            {
                int wanted = Math.Min(state.Width.Next(), sequence.MostDrafts);
                if (wanted > 0)
                {
                    _slots.Add(new DraftSlot(sequence, wanted));
                }
            }
        }

        if (_slots.Count == 0)
        {
            return;
        }

        int left = Math.Min(tokens, rows);
        _slots.Sort((first, second) => first.Budget != second.Budget ? first.Budget.CompareTo(second.Budget) : first.Sequence.Order.CompareTo(second.Sequence.Order));
        int kept = 0;
        for (int i = 0; i < _slots.Count; i++)
        {
            DraftSlot slot = _slots[i];
            int budget = PagesForDrafts(slot.Sequence, Math.Min(slot.Budget, left / (_slots.Count - i)));
            if (budget > 0)
            {
                // The request's own token has a place in any case; what is proposed, where pages are left. They are given back after the step.
                budget = TakeStreamingPages(slot.Sequence, 1 + budget, ref pages, pages / (_slots.Count - i)) - 1;
            }

            if (budget > 0)
            {
                _slots[kept++] = slot with { Budget = budget };
                left -= budget;
            }
        }

        _slots.RemoveRange(kept, _slots.Count - kept);
        if (kept > 0)
        {
            Speculator!.Propose(_slots);
        }
    }

    /// <summary>Takes pages for proposed tokens while there are some that nobody uses. <see cref="GiveBackDraftPages"/> after the step.</summary>
    /// <returns>How many of the tokens have a place.</returns>
    private int PagesForDrafts(Sequence sequence, int wanted)
    {
        if (_pool is null)
        {
            return wanted;
        }

        int needed = _pool.PagesFor(sequence.Target + wanted);
        while (sequence.Pages.Count < needed && _pool.Available > 0)
        {
            sequence.Pages.Add(_pool.Allocate());
        }

        return (int)Math.Min(wanted, ((long)sequence.Pages.Count * _pool.PageSize) - sequence.Target);
    }

    /// <summary>Gives pages beyond a request's own tokens back: what lay there was proposed and rejected, or never computed.</summary>
    private void GiveBackDraftPages(Sequence sequence)
    {
        int needed = _pool?.PagesFor(sequence.Target) ?? 0;
        for (int i = sequence.Pages.Count - 1; i >= needed; i--)
        {
            _pool!.Release(sequence.Pages[i]);
            sequence.Pages.RemoveAt(i);
            sequence.PagesVersion = ++_versions;
        }
    }
}
