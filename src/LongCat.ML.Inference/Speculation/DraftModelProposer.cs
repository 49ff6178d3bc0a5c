using System.Runtime.InteropServices;
using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// Proposes with a smaller model of the same tokenizer (Leviathan et al., arXiv 2211.17192; Chen et al., 2302.01318). Its caches have pages of the same ids as the model's, so a shared
/// beginning is shared here too; <see cref="Sequence.DraftComputed"/> says how far a request is computed.
/// </summary>
/// <remarks>
/// A proposed token is drawn from the draft's distribution with the number that the model will use at that position. The verification takes the model's own token in any case, so the
/// output has the model's distribution whatever the draft says; the common number is what makes the two agree often.
/// </remarks>
internal sealed class DraftModelProposer(
    IModelRunner draft, PackedStep step, int maxStepTokens, int pageSize, int maxPositions, int vocabSize, SpeculativeCounters counters) : IDraftProposer
{
    private readonly List<StepEntry> _entries = [];
    private readonly List<bool> _rows = [];
    private readonly List<(Sequence Sequence, int Target)> _behind = [];
    private readonly List<DraftSlot> _pending = [];
    private readonly int _vocabSize = Math.Min(vocabSize, draft.VocabSize);

    public bool ReadsHidden => false;

    /// <summary>Computes what is about to be published. What is left of a page waits for the next proposal, which takes it along.</summary>
    public void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model)
    {
        _behind.Clear();
        foreach (StepOutcome outcome in outcomes)
        {
            Sequence sequence = outcome.Entry.Sequence;
            sequence.DraftComputed = Math.Min(sequence.DraftComputed, outcome.Computed);
            int whole = outcome.Computed / pageSize * pageSize;
            if (outcome.Error is null && sequence.DraftComputed < whole && CanReach(sequence, whole))
            {
                _behind.Add((sequence, whole));
            }
        }

        while (_behind.Count > 0)
        {
            int left = maxStepTokens;
            _entries.Clear();
            _rows.Clear();
            foreach ((Sequence sequence, int target) in _behind)
            {
                int count = Math.Min(left, target - sequence.DraftComputed);
                if (count > 0)
                {
                    _entries.Add(new StepEntry(sequence, sequence.DraftComputed, count));
                    _rows.Add(false);
                    left -= count;
                }
            }

            Run();
            _behind.RemoveAll(pair => pair.Sequence.DraftComputed >= pair.Target);
        }
    }

    public void Propose(IReadOnlyList<DraftSlot> slots)
    {
        _pending.Clear();
        _pending.AddRange(slots.Where(slot => CanReach(slot.Sequence, slot.Sequence.Tokens.Count)));
        while (_pending.Count > 0)
        {
            int left = maxStepTokens;
            _entries.Clear();
            _rows.Clear();
            foreach (DraftSlot slot in _pending)
            {
                int missing = slot.Sequence.Tokens.Count + slot.Sequence.Drafts.Count - slot.Sequence.DraftComputed;
                int count = Math.Min(left, missing);
                if (count > 0)
                {
                    _entries.Add(new StepEntry(slot.Sequence, slot.Sequence.DraftComputed, count));
                    _rows.Add(count == missing);
                    left -= count;
                }
            }

            Run();
            TakeRows();
        }
    }

    public void Abort() => draft.Abort();

    public void Dispose() => draft.Dispose();

    /// <summary>Adds a token to each proposal that was computed to its end, and takes out those that are long enough.</summary>
    private void TakeRows()
    {
        int row = 0;
        int entry = 0;
        int kept = 0;
        for (int i = 0; i < _pending.Count; i++)
        {
            DraftSlot slot = _pending[i];
            bool goesOn = true;
            if (entry < _entries.Count && _entries[entry].Sequence == slot.Sequence)
            {
                if (_rows[entry])
                {
                    List<int> drafts = slot.Sequence.Drafts;
                    int position = slot.Sequence.Tokens.Count + drafts.Count;
                    drafts.Add(slot.Sequence.Propose(draft.Logits(row++)[.._vocabSize], position));
                    goesOn = drafts.Count < slot.Budget && position < maxPositions && !slot.Sequence.Ends(drafts[^1]);
                }

                entry++;
            }

            if (goesOn)
            {
                _pending[kept++] = slot;
            }
        }

        _pending.RemoveRange(kept, _pending.Count - kept);
    }

    private void Run()
    {
        step.FillDraft(CollectionsMarshal.AsSpan(_entries), CollectionsMarshal.AsSpan(_rows), shift: 0);
        counters.DraftPasses++;
        draft.Run(step);
        foreach (StepEntry entry in _entries)
        {
            entry.Sequence.DraftComputed = entry.Start + entry.Count;
        }
    }

    /// <summary>Whether the draft knows the tokens and positions up to there: its vocabulary may have less padding, and its longest sequence may be shorter.</summary>
    private bool CanReach(Sequence sequence, int length)
    {
        for (int position = sequence.DraftComputed; position < length; position++)
        {
            if (position >= maxPositions || sequence.Tokens[position] >= draft.VocabSize)
            {
                return false;
            }
        }

        return true;
    }
}
