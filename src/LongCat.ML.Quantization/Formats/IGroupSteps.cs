namespace LongCat.ML.Quantization;

/// <summary>Chooses the step that a group of weights would have if steps were free floats. Called from several threads.</summary>
internal interface IGroupSteps
{
    /// <summary>Chooses.</summary>
    /// <param name="weights">
    /// The group, zeros behind it up to a multiple of <see cref="StepMath.Lanes"/>, times a power of two that brings the row's largest magnitude near 1, and maybe
    /// mirrored: the levels are -8..7 either way.
    /// </param>
    /// <param name="importance">What a squared error of each weight counts, as long; empty: all the same.</param>
    /// <returns>The step, in the units of <paramref name="weights"/>; 0 for a group of zeros.</returns>
    float Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance);
}
