namespace LongCat.ML.Quantization;

/// <summary>
/// Clipping by grid, the training-free form of OdysseyLLM's learned clipping (arXiv 2311.09550): the largest magnitude times 1.00, 0.98 … 0.30 is
/// level 7, whichever gives the least Σ h (w - ŵ)². Groups end up at 0.5 or more; a whole channel with one far outlier may want less.
/// </summary>
internal sealed class GridSteps : IGroupSteps
{
    private const int LeastPercent = 30;

    public float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        float largest = StepMath.Largest(weights) / 7;
        float least = float.PositiveInfinity;
        float best = 0;
        for (int percent = 100; largest > 0 && percent >= LeastPercent; percent -= 2)
        {
            float step = largest * percent / 100;
            float error = StepMath.Error(weights, importance, step);
            if (error < least)
            {
                (least, best) = (error, step);
            }
        }

        return best;
    }
}
