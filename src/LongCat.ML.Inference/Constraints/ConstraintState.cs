using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints;

/// <summary>How far a completion is along its constraint. A value: whoever tries tokens out keeps the one before.</summary>
internal readonly struct ConstraintState(ConstraintAutomaton automaton, Term term)
{
    /// <summary>Whether the tokens so far begin an allowed text.</summary>
    public bool IsPossible => term is not FailTerm;

    /// <summary>Whether the completion may end here.</summary>
    public bool CanEnd => term.Nullable;

    /// <summary>Whether it must.</summary>
    public bool IsComplete => automaton.IsFinal(term);

    /// <summary>Whether a token may follow; ends of the text are asked for by <see cref="CanEnd"/>.</summary>
    public bool Allows(int id)
    {
        ulong[] mask = automaton.Mask(term);
        return (uint)(id >> 6) < (uint)mask.Length && (mask[id >> 6] >> (id & 63) & 1) != 0;
    }

    /// <summary>The state after a token that may follow.</summary>
    public ConstraintState Advance(int id) => new(automaton, automaton.Advance(term, id));

    /// <summary>Copies a row of logits with negative infinity in place of every token that may not follow.</summary>
    /// <param name="logits">The row, [V].</param>
    /// <param name="ends">The tokens that end the text.</param>
    /// <param name="masked">Takes the copy, [V].</param>
    /// <exception cref="InferenceException">No token of the vocabulary may follow.</exception>
    public void Apply(ReadOnlySpan<float> logits, IReadOnlyCollection<int> ends, Span<float> masked)
    {
        masked.Fill(float.NegativeInfinity);
        ulong[] mask = automaton.Mask(term);
        bool any = false;
        for (int word = 0; word < mask.Length; word++)
        {
            for (ulong bits = mask[word]; bits != 0; bits &= bits - 1)
            {
                int id = (word << 6) + System.Numerics.BitOperations.TrailingZeroCount(bits);
                if (id < logits.Length)
                {
                    masked[id] = logits[id];
                    any = true;
                }
            }
        }

        foreach (int id in ends)
        {
            masked[id] = CanEnd ? logits[id] : float.NegativeInfinity;
            any |= CanEnd;
        }

        if (!any)
        {
            throw new InferenceException("the constraint allows no token of the vocabulary to follow: the tokenizer lacks a byte that the text needs.");
        }
    }
}
