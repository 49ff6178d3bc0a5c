namespace LongCat.ML.Quantization;

/// <summary>Chooses the step that a group of weights would have if steps were free floats. Called from several threads.</summary>
internal interface IGroupSteps
{
    /// <summary>Chooses.</summary>
    /// <param name="weights">
    /// The group, zeros behind it up to a multiple of <see cref="StepMath.Lanes"/>, times a power of two that brings the row's largest magnitude near 1.
    /// </param>
    /// <param name="importance">What a squared error of each weight counts, as long.</param>
    /// <returns>The step, in the units of <paramref name="weights"/>; negative where level -8 had better stand for the largest weights; 0 for a group of zeros.</returns>
    float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance);
}
