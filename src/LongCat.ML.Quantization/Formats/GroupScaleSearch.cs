namespace LongCat.ML.Quantization;

/// <summary>The integers of a row's groups for a given scale: the nearest to the wanted step, or, where clipping is allowed, the one around it that costs least.</summary>
internal sealed class GroupScaleSearch(MatrixProblem problem)
{
    private readonly short[] _trial = new short[problem.Groups];

    /// <summary>Chooses the integers of a row; they have the signs of the wanted steps.</summary>
    /// <param name="row">The row in its normal form, in whole vectors.</param>
    /// <param name="wanted">[G] wanted steps.</param>
    /// <param name="scale">The row's scale, above 0.</param>
    /// <param name="integers">[G], filled.</param>
    /// <returns>Σ h (w - ŵ)² of the row.</returns>
    public double Integers(ReadOnlySpan<float> row, ReadOnlySpan<float> wanted, float scale, Span<short> integers)
    {
        Span<float> steps = stackalloc float[StepMath.Tries], errors = stackalloc float[StepMath.Tries];
        double total = 0;
        int largest = problem.LargestGroupScale;
        for (int g = 0; g < wanted.Length; g++)
        {
            Range group = problem.Group(g);
            double ratio = Math.Abs(wanted[g]) / (double)scale;
            int sign = wanted[g] < 0 ? -1 : 1;
            if (problem.Options.Clipping == WeightClipping.None)
            {
                integers[g] = (short)(sign * Math.Clamp(Math.Round(ratio), 1, largest));
                total += StepMath.Error(row[group], problem.PaddedImportance[group], LevelRange.FourBits, scale * integers[g]);
                continue;
            }

            int below = (int)Math.Clamp(Math.Floor(ratio) - 1, 1, largest), best = 0;
            for (int i = 0; i < steps.Length; i++)
            {
                steps[i] = scale * sign * Math.Min(below + i, largest);
            }

            StepMath.Errors(row[group], problem.PaddedImportance[group], LevelRange.FourBits, steps, errors);
            for (int i = 1; i < errors.Length; i++)
            {
                best = errors[i] < errors[best] ? i : best;
            }

            integers[g] = (short)(sign * Math.Min(below + best, largest));
            total += errors[best];
        }

        return total;
    }

    /// <summary>Chooses a row's scale too: what puts the largest step onto each of the given integers, then the least-squares scale while that helps.</summary>
    /// <param name="row">The row in its normal form, in whole vectors.</param>
    /// <param name="wanted">[G] wanted steps, not all 0.</param>
    /// <param name="tops">Integers that the largest step may become.</param>
    /// <param name="fits">How often the scale is fitted at most.</param>
    /// <param name="integers">[G], filled.</param>
    /// <returns>The scale.</returns>
    public float Scale(ReadOnlySpan<float> row, ReadOnlySpan<float> wanted, ReadOnlySpan<int> tops, int fits, Span<short> integers)
    {
        float largest = 0, scale = 0;
        foreach (float step in wanted)
        {
            largest = Math.Max(largest, Math.Abs(step));
        }

        double least = double.PositiveInfinity;
        foreach (int top in tops)
        {
            Keep(largest / top, row, wanted, integers, ref least, ref scale);
        }

        for (int i = 0; i < fits; i++)
        {
            double product = 0, square = 0;
            for (int g = 0; g < integers.Length; g++)
            {
                Range group = problem.Group(g);
                (float p, float s) = StepMath.Fit(row[group], problem.PaddedImportance[group], LevelRange.FourBits, scale * integers[g]);
                product += (double)p * integers[g];
                square += (double)s * integers[g] * integers[g];
            }

            if (!(product > 0) || !Keep((float)(product / square), row, wanted, integers, ref least, ref scale))
            {
                break;
            }
        }

        return scale;
    }

    private bool Keep(float scale, ReadOnlySpan<float> row, ReadOnlySpan<float> wanted, Span<short> integers, ref double least, ref float best)
    {
        double error = Integers(row, wanted, scale, _trial);
        if (!(error < least))
        {
            return false;
        }

        _trial.CopyTo(integers);
        (least, best) = (error, scale);
        return true;
    }
}
