namespace LongCat.ML.Quantization;

/// <summary>
/// The steps that groups would have if they were free floats, each row in its own units: a power of two brings the row's largest magnitude into [1, 2), so that
/// neither huge nor tiny weights leave the range of a float when they are squared or divided.
/// </summary>
internal sealed class WantedSteps
{
    private readonly MatrixProblem _problem;
    private readonly float[] _steps;

    private WantedSteps(MatrixProblem problem)
    {
        _problem = problem;
        _steps = new float[checked(problem.OutFeatures * problem.Groups)];
        Exponents = new int[problem.OutFeatures];
        Errors = new double[problem.OutFeatures];
    }

    /// <summary>[N]: a row is 2^exponent times its normal form.</summary>
    public int[] Exponents { get; }

    /// <summary>[N]: Σ h (w - ŵ)² with these steps, in the row's units.</summary>
    public double[] Errors { get; }

    /// <summary>The steps of a row; negative where the group is mirrored, 0 for a group of zeros.</summary>
    public ReadOnlySpan<float> Row(int n) => _steps.AsSpan(n * _problem.Groups, _problem.Groups);

    /// <summary>Copies a row in its normal form, in whole vectors.</summary>
    public void Normalize(int n, Span<float> padded) => Normalize(_problem.Row(n), Exponents[n], padded);

    /// <summary>Copies values times 2^-exponent, in whole vectors.</summary>
    public static void Normalize(ReadOnlySpan<float> values, int exponent, Span<float> padded)
    {
        // In two factors: 2^149 alone is no float.
        int half = -exponent / 2;
        StepMath.Scale(values, (float)Math.ScaleB(1, half), (float)Math.ScaleB(1, -exponent - half), padded);
    }

    /// <summary>Chooses the steps of all rows.</summary>
    public static WantedSteps Find(MatrixProblem problem, IGroupSteps wanted, CancellationToken cancellationToken)
    {
        WantedSteps found = new(problem);
        problem.ForRows(() => new float[StepMath.Padded(problem.InFeatures)], (n, row) =>
        {
            float largest = StepMath.Largest(problem.Row(n));
            if (largest == 0)
            {
                return;
            }

            found.Exponents[n] = Math.ILogB(largest);
            found.Normalize(n, row);
            Span<float> steps = found._steps.AsSpan(n * problem.Groups, problem.Groups);
            for (int g = 0; g < steps.Length; g++)
            {
                ReadOnlySpan<float> group = row.AsSpan(problem.Group(g)), importance = problem.PaddedImportance[problem.Group(g)];
                steps[g] = wanted.Choose(group, importance);
                found.Errors[n] += StepMath.Error(group, importance, steps[g]);
            }
        }, cancellationToken);
        return found;
    }
}
