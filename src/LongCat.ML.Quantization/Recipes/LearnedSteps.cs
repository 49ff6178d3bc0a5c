namespace LongCat.ML.Quantization;

/// <summary>Clipping learned by gradient descent (<see cref="LearnedClipping"/>), per channel as published or per group; with the signs turned where that fits better.</summary>
internal sealed class LearnedSteps : IGroupSteps
{
    public float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        float[] turned = new float[weights.Length];
        StepMath.Scale(weights, -1, 1, turned);
        float step = LearnedClipping.Fit(weights, importance), mirrored = LearnedClipping.Fit(turned, importance);
        return StepMath.Error(turned, importance, mirrored) < StepMath.Error(weights, importance, step) ? -mirrored : step;
    }
}
