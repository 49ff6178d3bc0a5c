namespace LongCat.ML.Quantization;

/// <summary>
/// No weight is clipped: the largest magnitude is level 7, or, where it is negative, level -8 when that costs less.
/// </summary>
internal sealed class MinMaxSteps : IGroupSteps
{
    public void Choose(MatrixProblem problem, int row, ReadOnlySpan<float> weights, Span<float> steps)
    {
        for (int g = 0; g < steps.Length; g++)
        {
            ReadOnlySpan<float> group = weights.Slice(g * problem.GroupLength, Math.Min(problem.GroupLength, weights.Length - (g * problem.GroupLength)));
            float most = 0, least = 0;
            foreach (float weight in group)
            {
                most = Math.Max(most, weight);
                least = Math.Min(least, weight);
            }

            steps[g] = Math.Max(most / 7, -least / 8);
        }
    }
}
