using System.Runtime.InteropServices;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// Proposes with the model's multi-token-prediction head (LongCat-Flash, arXiv 2509.01322, section 2; DeepSeek-V3's MTP). The head reads the hidden state of position t and the token at
/// t+1, and gives the token at t+2. It runs over every step of the model with the model's own hidden states; further tokens of a proposal are chained on its own.
/// </summary>
/// <remarks>
/// The head's entry of position t lies in the page of position t. It is made with the token at t+1, so that of a shared page's last position was made with the token that its first owner had
/// there: a proposal may be a little worse for it, never the output. Entries made with the head's own hidden states are overwritten by the next step's.
/// </remarks>
internal sealed class MtpProposer(IDraftHead head, PackedStep step, SpeculativeCounters counters) : IDraftProposer
{
    private readonly List<StepEntry> _entries = [];
    private readonly List<bool> _rows = [];
    private readonly List<DraftSlot> _chained = [];

    public bool ReadsHidden => true;

    public void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model)
    {
        _entries.Clear();
        _rows.Clear();
        int token = 0;
        foreach (StepOutcome outcome in outcomes)
        {
            Sequence sequence = outcome.Entry.Sequence;
            DraftState? state = (sequence as GenerationSequence)?.Speculation;
            state?.Head?.Clear();

            if (outcome.Error is not null)
            {
                continue;
            }

            for (int i = 0; i < outcome.Kept; i++)
            {
                model.Hidden(outcome.Token + i).CopyTo(head.HiddenInput(token++));
            }

            _entries.Add(outcome.Entry with { Count = outcome.Kept });
            _rows.Add(state is not null && outcome.Emitted > 0 && !outcome.Finished);
        }

        if (_entries.Count > 0)
        {
            Run((sequence, row, last) =>
            {
                HeadState said = sequence.Speculation!.Head ??= new HeadState(head.HiddenSize);
                said.Set(sequence.Propose(head.Logits(row), sequence.Tokens.Count), head.HiddenOutput(last));
            });
        }
    }

    public void Propose(IReadOnlyList<DraftSlot> slots)
    {
        _chained.Clear();
        foreach (DraftSlot slot in slots)
        {
            if (slot.Sequence.Speculation?.Head is { Any: true } state)
            {
                slot.Sequence.Drafts.Add(state.Token);
                AddChained(slot);
            }
        }

        while (_chained.Count > 0)
        {
            _entries.Clear();
            _rows.Clear();
            for (int i = 0; i < _chained.Count; i++)
            {
                GenerationSequence sequence = _chained[i].Sequence;
                _entries.Add(new StepEntry(sequence, sequence.Tokens.Count + sequence.Drafts.Count - 2, 1));
                _rows.Add(true);
                sequence.Speculation!.Head!.Hidden.CopyTo(head.HiddenInput(i));
            }

            Run((sequence, row, last) =>
            {
                int token = sequence.Propose(head.Logits(row), sequence.Tokens.Count + sequence.Drafts.Count);
                sequence.Speculation!.Head!.Set(token, head.HiddenOutput(last));
            });
            DraftSlot[] ran = [.. _chained];
            _chained.Clear();
            foreach (DraftSlot slot in ran)
            {
                slot.Sequence.Drafts.Add(slot.Sequence.Speculation!.Head!.Token);
                AddChained(slot);
            }
        }
    }

    public void Abort() => head.Abort();

    public void Dispose() => head.Dispose();

    private void AddChained(DraftSlot slot)
    {
        List<int> drafts = slot.Sequence.Drafts;
        if (drafts.Count < slot.Budget && !slot.Sequence.Ends(drafts[^1]))
        {
            _chained.Add(slot);
        }
    }

    /// <summary>Runs the head over the entries and hands out the rows: the request, its row of logits, its last token in the run.</summary>
    private void Run(Action<GenerationSequence, int, int> take)
    {
        step.FillDraft(CollectionsMarshal.AsSpan(_entries), CollectionsMarshal.AsSpan(_rows), shift: 1);
        counters.DraftPasses++;
        head.Run(step);
        int row = 0;
        for (int s = 0; s < _entries.Count; s++)
        {
            if (_rows[s])
            {
                take((GenerationSequence)_entries[s].Sequence, row++, step.QueryStart[s + 1] - 1);
            }
        }
    }
}
