using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Scheduling;

internal sealed partial class Scheduler
{
    /// <summary>Chooses the next step: empty when nothing can run.</summary>
    /// <remarks>
    /// Requests with one token to compute go first, prompts share what is left in equal parts (a short one takes only what it needs),
    /// so a long prompt delays nobody by more than its part. Proposed tokens take what is left of the part of the first ones. The span is valid until the next call.
    /// </remarks>
    public ReadOnlySpan<StepEntry> Plan()
    {
        Refresh();
        GrowRunning();
        Admit();
        _entries.Clear();
        int tokens = _limits.MaxStepTokens;
        int rows = _limits.MaxLogitRows;
        int pages = _streaming is null ? 0 : _streaming.Pages.PageCount - Shares();
        PlanDecoding(ref tokens, ref rows, ref pages);
        PlanPrefill(tokens, rows, pages);
        foreach (StepEntry entry in _entries)
        {
            entry.Sequence.LastStep = _step;
        }

        _step++;
        return CollectionsMarshal.AsSpan(_entries);
    }

    private void PlanDecoding(ref int tokens, ref int rows, ref int pages)
    {
        _candidates.Clear();
        bool prompts = false;
        foreach (Sequence sequence in _running)
        {
            if (sequence.Remaining == 1)
            {
                _candidates.Add(sequence);
            }
            else
            {
                prompts = true;
            }
        }

        // A quarter of a step stays for prompts, so that they advance even when the decoding requests alone could fill it.
        int limit = prompts ? Math.Max(1, tokens - Math.Max(1, tokens / 4)) : tokens;
        if (_candidates.Count > limit)
        {
            LeastRecentlyServed(limit);
        }

        // Every request that runs keeps a row of its own: a prompt that is cut by rows must advance too.
        Draft(limit - _candidates.Count, rows - _running.Count, ref pages);
        foreach (Sequence sequence in _candidates)
        {
            int count = TakeStreamingPages(sequence, 1 + sequence.Drafts.Count, ref pages, part: 0);
            StepEntry entry = new(sequence, sequence.Computed, count, IsSparse(sequence));
            _entries.Add(entry);
            tokens -= entry.Count;
            rows -= entry.Count;
        }
    }

    private void PlanPrefill(int tokens, int rows, int pages)
    {
        _candidates.Clear();
        foreach (Sequence sequence in _running)
        {
            if (sequence.Remaining > 1)
            {
                _candidates.Add(sequence);
            }
        }

        if (_candidates.Count > tokens)
        {
            LeastRecentlyServed(tokens);
        }

        _candidates.Sort((left, right) => left.Remaining != right.Remaining ? left.Remaining.CompareTo(right.Remaining) : left.Order.CompareTo(right.Order));
        for (int i = 0; i < _candidates.Count; i++)
        {
            Sequence sequence = _candidates[i];
            int left = _candidates.Count - i;
            int count = Math.Min(sequence.Remaining, tokens / left);
            if (sequence.Rows == RowKind.Logits)
            {
                int free = Math.Max(0, sequence.NextRow - sequence.Computed);
                count = Math.Min(count, free + (rows / left));
            }

            StepEntry entry = new(sequence, sequence.Computed, TakeStreamingPages(sequence, count, ref pages, pages / left));
            _entries.Add(entry);
            tokens -= entry.Count;
            rows -= entry.LogitRows;
        }
    }

    private void LeastRecentlyServed(int count)
    {
        _candidates.Sort((left, right) => left.LastStep != right.LastStep ? left.LastStep.CompareTo(right.LastStep) : left.Order.CompareTo(right.Order));
        _candidates.RemoveRange(count, _candidates.Count - count);
    }
}
