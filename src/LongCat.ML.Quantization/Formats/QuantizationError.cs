namespace LongCat.ML.Quantization;

/// <summary>What quantizing a matrix cost.</summary>
internal static class QuantizationError
{
    public static MatrixReport Report(MatrixProblem problem, WeightGrid grid, sbyte[] levels, string scheme, ActivationPlan activations, long bound, double? outputError,
        CancellationToken cancellationToken)
    {
        (double error, long clipped) = OverRows(problem, grid, levels, cancellationToken);
        return new MatrixReport
        {
            Name = problem.Name,
            Site = problem.Site.Name,
            Scheme = scheme,
            OutFeatures = problem.OutFeatures,
            InFeatures = problem.InFeatures,
            GroupSize = problem.Options.GroupSize!.Value,
            Scaling = problem.Options.Scaling!.Value,
            Amplifier = grid.Amplifier,
            Activation = activations.Scale > 0 ? "static" : "dynamic",
            Branch = activations.Branch,
            InputMaxAbs = problem.Statistics?.MaxAbs ?? 0,
            RelativeError = outputError ?? error,
            ClippedShare = (double)clipped / problem.Weights.Length,
            OverflowShare = bound / (double)(1L << 31),
            CalibrationRows = problem.Statistics?.Site.Name == problem.Site.Name ? problem.Statistics.Rows : 0,
        };
    }

    // √(Σ h (w - ŵ)² / Σ h w²), h the inputs' second moments where they are known: the output's error if inputs were independent.
    private static (double RelativeError, long Clipped) OverRows(MatrixProblem problem, WeightGrid grid, sbyte[] levels, CancellationToken cancellationToken)
    {
        double[] errors = new double[problem.OutFeatures], squares = new double[problem.OutFeatures];
        long[] clipped = new long[problem.OutFeatures];
        float[] importance = new float[problem.InFeatures];
        double mean = problem.Statistics is null ? 0 : problem.Statistics.SumOfSquares.Average();
        for (int k = 0; k < importance.Length; k++)
        {
            importance[k] = mean > 0 ? (float)(problem.Statistics!.SumOfSquares[k] / mean) : 1;
        }

        problem.ForRows(() => 0, (n, _) =>
        {
            ReadOnlySpan<float> row = problem.Row(n);
            ReadOnlySpan<sbyte> rowLevels = levels.AsSpan(checked((int)((long)n * row.Length)), row.Length);
            for (int g = 0; g < problem.Groups; g++)
            {
                Range group = (g * problem.GroupLength)..Math.Min(row.Length, (g + 1) * problem.GroupLength);
                StepMath.Cost cost = StepMath.CostOf(row[group], importance.AsSpan(group), grid.Step(n, g), rowLevels[group], LevelRange.FourBits);
                errors[n] += cost.Error;
                squares[n] += cost.Square;
                clipped[n] += cost.Clipped;
            }
        }, cancellationToken);
        double square = squares.Sum();
        return (square > 0 ? Math.Sqrt(errors.Sum() / square) : 0, clipped.Sum());
    }
}
