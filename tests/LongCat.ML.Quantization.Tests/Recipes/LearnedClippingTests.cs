namespace LongCat.ML.Quantization.Tests;

public sealed class LearnedClippingTests
{
    [Theory]
    [InlineData(32)]
    [InlineData(128)]
    [InlineData(1024)]
    public void It_finds_nearly_the_best_scale(int length)
    {
        double learned = 0;
        double best = 0;
        double unclipped = 0;
        for (int seed = 0; seed < 30; seed++)
        {
            float[] weights = Samples.Gaussian(length, 0.02, seed);
            weights[seed] *= 4;
            float[] importance = [.. Samples.Gaussian(length, 1, 100 + seed).Select(value => MathF.Exp(value))];
            float largest = weights.Max(Math.Abs) / 7;
            learned += StepMath.Error(weights, importance, LearnedClipping.Fit(weights, importance));
            best += Enumerable.Range(100, 901).Min(share => StepMath.Error(weights, importance, largest * share / 1000));
            unclipped += StepMath.Error(weights, importance, largest);
        }

        // Descent stops in the nearest valley of a loss that has many; a search over 900 scales has no such limit.
        Assert.True(learned < 1.12 * best, $"{learned / best:F3} times the best");
        Assert.True(learned < 0.85 * unclipped, $"{learned / unclipped:F3} of no clipping");
    }

    [Fact]
    public void The_slope_is_that_of_the_error_where_no_level_changes()
    {
        float[] weights = Samples.Gaussian(64, 0.02, 1);
        float[] importance = [.. Samples.Gaussian(64, 1, 2).Select(value => MathF.Exp(value))];

        // With rounding passed straight through, ∂ŵ/∂s = level - w / s inside the levels; with levels held it is the level: the difference is the term w / s.
        const float step = 0.006f;
        (float error, float slope) = StepMath.ErrorAndSlope(weights, importance, step);
        double expectedError = 0;
        double expectedSlope = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            double position = weights[i] / (double)step;
            double level = Math.Clamp(Math.Round(position), -8, 7);
            double miss = (level * step) - weights[i];
            expectedError += importance[i] * miss * miss;
            expectedSlope += 2 * importance[i] * miss * (level - (position is >= -8 and <= 7 ? position : 0));
        }

        Assert.Equal(expectedError, error, 1e-4 * expectedError);
        Assert.Equal(expectedSlope, slope, 1e-4 * Math.Abs(expectedSlope));
    }

    [Fact]
    public void Zeros_have_no_scale() => Assert.Equal(0, LearnedClipping.Fit(new float[32], []));
}
