namespace LongCat.ML.Quantization;

/// <summary>
/// No weight is clipped: the largest magnitude is level 7, or, where it is negative, level -8 when that costs less.
/// </summary>
internal sealed class MinMaxSteps : IGroupSteps
{
    public float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        float most = 0, least = 0;
        foreach (float weight in weights)
        {
            most = Math.Max(most, weight);
            least = Math.Min(least, weight);
        }

        return Math.Max(most / 7, -least / 8);
    }
}
