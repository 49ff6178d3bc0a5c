namespace LongCat.ML.Quantization;

/// <summary>
/// Levels by compensation (<see cref="ErrorCompensation"/>). A row's float scale is the one found on the original weights, since it must hold for all groups;
/// a group's integer is chosen when compensation reaches the group, on the weights as they are then, each column's squared error counted by R_jj²: that is what
/// it costs once the columns after it have made up for what they can. On correlated inputs this beat integers fixed beforehand and errors counted by H_jj.
/// </summary>
internal sealed class CompensatedRounding(SiteFactors.Factor factor, IGroupSteps steps) : IWeightRounding
{
    private const int ReportedRows = 64;

    public string Scheme => "compensated";

    public double? Round(MatrixProblem problem, WeightGrid grid, sbyte[] levels, CancellationToken cancellationToken)
    {
        double[] losses = ErrorCompensation.Quantize(
            problem.Weights,
            problem.OutFeatures,
            problem.InFeatures,
            grid.GroupScales is null ? 0 : problem.GroupLength,
            factor.Upper,
            (row, group, weights, importance) => Choose(problem, grid, row, group, weights, importance),
            levels,
            problem.Threads,
            cancellationToken);
        return RelativeError(problem, grid, levels, losses);
    }

    private double Choose(MatrixProblem problem, WeightGrid grid, int row, int group, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        float scale = grid.Scales[row];
        if (scale == 0)
        {
            // A row of zeros stays one: there is no error to compensate.
            return 1;
        }

        if (grid.GroupScales is null)
        {
            return scale;
        }

        // In units of a power of two near the scale times its largest integer, so that squares of tiny weights do not vanish.
        double unit = Math.CopySign(Math.ScaleB(1, -Math.ILogB(scale * (double)problem.LargestGroupScale)), scale);
        int padded = StepMath.Padded(weights.Length);
        Span<float> values = stackalloc float[padded];
        Span<float> counts = stackalloc float[padded];
        values.Clear();
        counts.Clear();
        for (int i = 0; i < weights.Length; i++)
        {
            values[i] = (float)(weights[i] * unit);
        }

        importance.CopyTo(counts);
        float one = (float)(scale * unit);
        float wanted = steps.Choose(values, counts) / one;
        int sign = wanted < 0 ? -1 : 1;
        int lower = sign * (int)Math.Clamp(MathF.Floor(Math.Abs(wanted)), 1, problem.LargestGroupScale);
        int upper = sign * Math.Min(Math.Abs(lower) + 1, problem.LargestGroupScale);
        int chosen = StepMath.Error(values, counts, upper * one) < StepMath.Error(values, counts, lower * one) ? upper : lower;
        grid.GroupScales[(row * grid.Groups) + group] = (short)chosen;
        return grid.Step(row, group);
    }

    /// <summary>Over rows spread evenly, 64 at most; ‖d·R‖² counts the damping, which is no output and is taken out.</summary>
    private double RelativeError(MatrixProblem problem, WeightGrid grid, sbyte[] levels, double[] losses)
    {
        int count = Math.Min(ReportedRows, problem.OutFeatures);
        double[] errors = new double[count];
        double[] outputs = new double[count];
        Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = problem.Threads }, index =>
        {
            int row = (int)((long)index * problem.OutFeatures / count);
            double[] weights = new double[problem.InFeatures];
            double missed = 0;
            double square = 0;
            ReadOnlySpan<float> source = problem.Row(row);
            for (int j = 0; j < weights.Length; j++)
            {
                weights[j] = source[j];
                double miss = weights[j] - ((double)grid.Step(row, j / problem.GroupLength) * levels[((long)row * weights.Length) + j]);
                missed += miss * miss;
                square += weights[j] * weights[j];
            }

            errors[index] = Math.Max(0, losses[row] - (factor.Damping * missed));
            outputs[index] = Math.Max(0, factor.Upper.SquaredProduct(weights) - (factor.Damping * square));
        });
        double output = outputs.Sum();
        return output > 0 ? Math.Sqrt(errors.Sum() / output) : 0;
    }
}
