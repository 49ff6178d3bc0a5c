namespace LongCat.ML.Inference.Scheduling;

/// <summary>The part of a sequence that one step computes.</summary>
/// <param name="Sequence">The sequence.</param>
/// <param name="Start">Its first token in the step; all earlier ones are in the cache.</param>
/// <param name="Count">How many tokens, at least 1.</param>
/// <param name="Sparse">Whether its tokens are verified sparsely: the keys and values that they leave are approximate.</param>
internal readonly record struct StepEntry(Sequence Sequence, int Start, int Count, bool Sparse = false)
{
    /// <summary>The first token of the part whose row is wanted; at or beyond the end when none is.</summary>
    public int FirstRow => Math.Max(Start, Sequence.NextRow);

    /// <summary>Rows of logits; hidden states cost none.</summary>
    public int LogitRows => Sequence.Rows == RowKind.Hidden ? 0 : Math.Max(0, Start + Count - FirstRow);
}
