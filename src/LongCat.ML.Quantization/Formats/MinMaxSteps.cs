namespace LongCat.ML.Quantization;

/// <summary>
/// No weight is clipped: the largest one is level 7 or the least one level -8, whichever reaches further; or the same with the signs turned, which makes the
/// smaller step when it is the largest that reaches furthest.
/// </summary>
internal sealed class MinMaxSteps : IGroupSteps
{
    public float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        (float least, float most) = StepMath.Ends(weights);
        float step = Math.Max(most / 7, -least / 8), mirrored = Math.Max(-least / 7, most / 8);
        return mirrored < step ? -mirrored : step;
    }
}
