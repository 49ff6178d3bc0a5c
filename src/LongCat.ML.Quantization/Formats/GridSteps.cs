namespace LongCat.ML.Quantization;

/// <summary>
/// Clipping by grid, the training-free form of OdysseyLLM's learned clipping (arXiv 2311.09550): the largest magnitude times 1.00, 0.98 … 0.50 is
/// level 7, or -7, whichever gives the least Σ h (w - ŵ)²; then the step that fits the levels best (least squares), as long as that helps.
/// A whole channel with one far outlier may want less than 0.50: long groups are searched down to 0.30.
/// </summary>
internal sealed class GridSteps : IGroupSteps
{
    private const int First = 100, Last = 50, LastOfChannel = 30, LongestGroup = 256, Stride = 2, MostFits = 4;

    public float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance) =>
        Best(weights, importance, LevelRange.FourBits, weights.Length > LongestGroup ? LastOfChannel : Last);

    /// <summary>The step of one group; 0 for zeros. With a last percentage of 100 nothing is clipped.</summary>
    public static float Best(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, LevelRange range, int lastPercent)
    {
        float largest = StepMath.Largest(weights) / range.High, best = largest, least = float.PositiveInfinity;
        if (lastPercent == First)
        {
            return largest;
        }

        // Turned signs make a difference only where one side has more levels.
        bool bothSigns = range.High != -range.Low;
        int perPass = bothSigns ? StepMath.Tries / 2 : StepMath.Tries;
        Span<float> steps = stackalloc float[StepMath.Tries], errors = stackalloc float[StepMath.Tries];
        for (int percent = First; percent >= lastPercent; percent -= Stride * perPass)
        {
            for (int i = 0; i < steps.Length; i++)
            {
                float step = largest * Math.Max(lastPercent, percent - (Stride * (i % perPass))) / 100;
                steps[i] = i < perPass ? step : -step;
            }

            StepMath.Errors(weights, importance, range, steps, errors);
            for (int i = 0; i < steps.Length; i++)
            {
                if (errors[i] < least)
                {
                    (least, best) = (errors[i], steps[i]);
                }
            }
        }

        for (int i = 0; i < MostFits; i++)
        {
            (float product, float square) = StepMath.Fit(weights, importance, range, best);
            float fitted = square > 0 ? product / square : best, error = StepMath.Error(weights, importance, range, fitted);
            if (!(error < least))
            {
                break;
            }

            (least, best) = (error, fitted);
        }

        return best;
    }
}
