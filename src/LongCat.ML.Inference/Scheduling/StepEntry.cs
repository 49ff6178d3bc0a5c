namespace LongCat.ML.Inference.Scheduling;

/// <summary>The part of a sequence that one step computes.</summary>
/// <param name="Sequence">The sequence.</param>
/// <param name="Start">Its first token in the step; all earlier ones are in the cache.</param>
/// <param name="Count">How many tokens, at least 1.</param>
internal readonly record struct StepEntry(Sequence Sequence, int Start, int Count)
{
    /// <summary>The first token of the part whose logits are wanted; at or beyond the end when none are.</summary>
    public int FirstLogit => Math.Max(Start, Sequence.NextLogit);

    public int LogitRows => Math.Max(0, Start + Count - FirstLogit);
}
