namespace LongCat.ML.Quantization;

/// <summary>From the steps that groups would like to the steps that the format can hold.</summary>
internal static class WeightGridSearch
{
    private const int DefaultAmplifier = 1024, MostExponent = 24, MostFits = 3;

    /// <summary>An amplifier is good enough when its integers add at most this to the root mean square error of float scales.</summary>
    private const double AcceptedExcess = 0.005;

    // Where the largest group's integer may lie. Its exact place decides how well the integers of the others come out.
    private static readonly int[] Wide = [127, 120, 113, 106], Narrow = [15, 14, 13, 12, 11, 10, 9, 8];

    public static WeightGrid Find(MatrixProblem problem, IGroupSteps wanted, CancellationToken cancellationToken)
    {
        WantedSteps steps = WantedSteps.Find(problem, wanted, cancellationToken);
        return problem.Options.Scaling switch
        {
            WeightScaling.PerChannel => PerChannel(problem, steps),
            WeightScaling.IntegerScale => problem.Options.Amplifier == 0
                ? SearchAmplifier(problem, steps, cancellationToken)
                : Integers(problem, steps, problem.Options.Amplifier ?? DefaultAmplifier, out _, cancellationToken),
            _ => TwoLevel(problem, steps, cancellationToken),
        };
    }

    private static WeightGrid PerChannel(MatrixProblem problem, WantedSteps steps)
    {
        WeightGrid grid = new(problem.OutFeatures, 1, grouped: false);
        for (int n = 0; n < problem.OutFeatures; n++)
        {
            grid.Scales[n] = Scale(steps, n, steps.Row(n)[0]);
        }

        return grid;
    }

    private static WeightGrid TwoLevel(MatrixProblem problem, WantedSteps steps, CancellationToken cancellationToken)
    {
        int largest = problem.LargestGroupScale;
        int[] tops = [.. (problem.Options.Scaling == WeightScaling.TwoLevel ? Wide : Narrow).Select(top => Math.Max(1, Math.Min(top, largest))).Distinct()];
        int fits = problem.Options.Clipping == WeightClipping.None ? 0 : MostFits;
        WeightGrid grid = new(problem.OutFeatures, problem.Groups, grouped: true);
        problem.ForRows(() => (Search: new GroupScaleSearch(problem), Row: new float[StepMath.Padded(problem.InFeatures)]), (n, scratch) =>
        {
            Span<short> integers = grid.GroupScales!.AsSpan(n * problem.Groups, problem.Groups);
            if (IsZero(steps.Row(n)))
            {
                integers.Fill(1);
                return;
            }

            steps.Normalize(n, scratch.Row);
            grid.Scales[n] = Scale(steps, n, scratch.Search.Scale(scratch.Row, steps.Row(n), tops, fits, integers));
        }, cancellationToken);
        return grid;
    }

    private static WeightGrid Integers(MatrixProblem problem, WantedSteps steps, int amplifier, out double error, CancellationToken cancellationToken)
    {
        WeightGrid grid = new(problem.OutFeatures, problem.Groups, grouped: true) { Amplifier = amplifier };
        double[] errors = new double[problem.OutFeatures];
        problem.ForRows(() => (Search: new GroupScaleSearch(problem), Row: new float[StepMath.Padded(problem.InFeatures)]), (n, scratch) =>
        {
            Span<short> integers = grid.GroupScales!.AsSpan(n * problem.Groups, problem.Groups);
            grid.Scales[n] = 1f / amplifier;
            double scale = Math.ScaleB(1.0 / amplifier, -steps.Exponents[n]);
            if (IsZero(steps.Row(n)) || scale > float.MaxValue / short.MaxValue)
            {
                // Zeros, or weights too small to see beside one step.
                integers.Fill(1);
                return;
            }

            steps.Normalize(n, scratch.Row);
            errors[n] = Math.ScaleB(scratch.Search.Integers(scratch.Row, steps.Row(n), (float)scale, integers), 2 * steps.Exponents[n]);
        }, cancellationToken);
        error = errors.Sum();
        return grid;
    }

    // The smallest power of two that costs next to nothing; where the kernel's 32-bit sums forbid that one, the best of those they bear.
    // (The published rule, min(step) · amplifier >= 1, bounds no error: a smallest group at 1.5 becomes 1 or 2.)
    private static WeightGrid SearchAmplifier(MatrixProblem problem, WantedSteps steps, CancellationToken cancellationToken)
    {
        double free = 0, square = 0, largest = 0;
        for (int n = 0; n < problem.OutFeatures; n++)
        {
            free += Math.ScaleB(steps.Errors[n], 2 * steps.Exponents[n]);
            square += IsZero(steps.Row(n)) ? 0 : Math.ScaleB(1, 2 * steps.Exponents[n]);
            foreach (float step in steps.Row(n))
            {
                largest = Math.Max(largest, Math.ScaleB(Math.Abs(step), steps.Exponents[n]));
            }
        }

        // Below one or two units of the largest step no power can be good enough.
        int first = largest > 0 ? Math.Clamp(-Math.ILogB(largest), 0, MostExponent) : MostExponent;
        WeightGrid? best = null;
        double least = double.PositiveInfinity;
        for (int exponent = first; exponent <= MostExponent; exponent++)
        {
            WeightGrid grid = Integers(problem, steps, 1 << exponent, out double error, cancellationToken);
            bool fits = W4A8Packing.Bound(problem.OutFeatures, problem.InFeatures, problem.GroupLength, grid.GroupScales) <= int.MaxValue;
            if (best is null || (fits && error < least))
            {
                (best, least) = (grid, error);
            }

            if (!fits || error <= (free * (1 + AcceptedExcess) * (1 + AcceptedExcess)) + (square * 1e-12))
            {
                break;
            }
        }

        return best!;
    }

    private static float Scale(WantedSteps steps, int n, float scale) => (float)Math.ScaleB(scale, steps.Exponents[n]);

    private static bool IsZero(ReadOnlySpan<float> steps) => steps.IndexOfAnyExcept(0f) < 0;
}
