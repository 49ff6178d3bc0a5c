namespace LongCat.ML.Quantization;

/// <summary>Clipping learned by gradient descent (<see cref="LearnedClipping"/>), per channel as published or per group.</summary>
internal sealed class LearnedSteps : IGroupSteps
{
    public float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance) => LearnedClipping.Fit(weights, importance);
}
