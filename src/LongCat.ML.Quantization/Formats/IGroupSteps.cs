namespace LongCat.ML.Quantization;

/// <summary>Chooses the step that each group of a row would have if steps were free floats. Called from several threads.</summary>
internal interface IGroupSteps
{
    /// <summary>Chooses.</summary>
    /// <param name="problem">The matrix.</param>
    /// <param name="row">Index of the row.</param>
    /// <param name="weights">[K]: the row times a power of two that brings its largest magnitude into [1, 2), and maybe mirrored: the levels are -8..7 either way.</param>
    /// <param name="steps">[G]: the steps, in the units of <paramref name="weights"/>; 0 for a group of zeros.</param>
    void Choose(MatrixProblem problem, int row, ReadOnlySpan<float> weights, Span<float> steps);
}
