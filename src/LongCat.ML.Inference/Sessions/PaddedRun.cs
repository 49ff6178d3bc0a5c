namespace LongCat.ML.Inference.Sessions;

/// <summary>A part of a step that a padded graph computes at once.</summary>
/// <param name="Sequences">Indices in the step.</param>
/// <param name="First">For each the first token of the part, counted from the beginning of the sequence's tokens in the step.</param>
/// <param name="Count">For each how many tokens.</param>
internal sealed record PaddedRun(int[] Sequences, int First, int[] Count)
{
    /// <summary>The width of the run: its longest part.</summary>
    public int Width { get; } = Count.Max();
}
