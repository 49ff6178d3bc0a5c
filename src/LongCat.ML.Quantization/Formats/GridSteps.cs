namespace LongCat.ML.Quantization;

/// <summary>
/// Clipping by grid, the training-free form of OdysseyLLM's learned clipping (arXiv 2311.09550): the largest magnitude times 1.00, 0.98 … 0.50 is
/// level 7, whichever gives the least Σ h (w - ŵ)².
/// </summary>
internal sealed class GridSteps : IGroupSteps
{
    public void Choose(MatrixProblem problem, int row, ReadOnlySpan<float> weights, Span<float> steps)
    {
        float[] padded = new float[(problem.GroupLength + StepMath.Lanes - 1) / StepMath.Lanes * StepMath.Lanes], importance = new float[problem.Importance is null ? 0 : padded.Length];
        for (int g = 0; g < steps.Length; g++)
        {
            int first = g * problem.GroupLength, length = Math.Min(problem.GroupLength, weights.Length - first);
            Array.Clear(padded);
            weights.Slice(first, length).CopyTo(padded);
            problem.Importance?.AsSpan(first, length).CopyTo(importance);
            float largest = StepMath.Largest(padded) / 7, least = float.PositiveInfinity;
            for (int percent = 100; percent >= 50; percent -= 2)
            {
                float step = largest * percent / 100, error = StepMath.Error(padded, importance, step);
                if (error < least)
                {
                    (least, steps[g]) = (error, step);
                }
            }
        }
    }
}
