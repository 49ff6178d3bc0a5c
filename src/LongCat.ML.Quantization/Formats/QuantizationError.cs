namespace LongCat.ML.Quantization;

/// <summary>What quantizing a matrix cost.</summary>
internal static class QuantizationError
{
    public static MatrixReport Report(MatrixProblem problem, WeightGrid grid, sbyte[] levels, string scheme, ActivationPlan activations, long bound, double? outputError)
    {
        double[] errors = new double[problem.OutFeatures], squares = new double[problem.OutFeatures];
        long[] clipped = new long[problem.OutFeatures];
        double[]? counts = problem.Statistics?.SumOfSquares;
        problem.ForRows(() => 0, (n, _) =>
        {
            ReadOnlySpan<float> row = problem.Row(n);
            for (int k = 0; k < row.Length; k++)
            {
                float step = grid.Step(n, k / problem.GroupLength);
                double error = row[k] - ((double)step * levels[((long)n * row.Length) + k]), count = counts is null ? 1 : counts[k];
                errors[n] += error * error * count;
                squares[n] += (double)row[k] * row[k] * count;
                double quotient = step == 0 ? 0 : row[k] / (double)step;
                clipped[n] += quotient is < -8.5 or > 7.5 ? 1 : 0;
            }
        }, CancellationToken.None);
        double square = squares.Sum();
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
            RelativeError = outputError is double known ? known : square > 0 ? Math.Sqrt(errors.Sum() / square) : 0,
            ClippedShare = (double)clipped.Sum() / problem.Weights.Length,
            OverflowShare = bound / (double)(1L << 31),
            CalibrationRows = problem.Statistics?.Site.Name == problem.Site.Name ? problem.Statistics.Rows : 0,
        };
    }
}
