namespace LongCat.ML.Inference.Scheduling;

/// <summary>What a step brought to one of its requests.</summary>
/// <param name="Entry">What was computed.</param>
/// <param name="Token">The place of its first token in the step.</param>
/// <param name="Kept">How many of its tokens are in the cache for good: all of them, less the proposed ones that were rejected.</param>
/// <param name="Emitted">How many new tokens the request got.</param>
/// <param name="Finished">Whether the request is done.</param>
/// <param name="Error">Why it failed, or null.</param>
internal readonly record struct StepOutcome(StepEntry Entry, int Token, int Kept, int Emitted, bool Finished, Exception? Error)
{
    /// <summary>The positions that are in the cache after the step.</summary>
    public int Computed => Entry.Start + Kept;
}
