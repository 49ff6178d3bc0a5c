namespace LongCat.ML.Quantization;

/// <summary>From the steps that groups would like to the steps that the format can hold.</summary>
internal static class WeightGridSearch
{
    public static WeightGrid Find(MatrixProblem problem, IGroupSteps wanted, CancellationToken cancellationToken)
    {
        bool grouped = problem.Options.Scaling != WeightScaling.PerChannel;
        WeightGrid grid = new(problem.OutFeatures, problem.Groups, grouped);
        int amplifier = problem.Options.Amplifier is > 0 and int given ? given : 1024;
        grid.Amplifier = problem.Options.Scaling == WeightScaling.IntegerScale ? amplifier : 0;
        problem.ForRows(() => (Row: new float[problem.InFeatures], Steps: new float[problem.Groups]), (n, scratch) =>
        {
            ReadOnlySpan<float> weights = problem.Row(n);
            float largest = StepMath.Largest(weights);
            if (largest == 0)
            {
                grid.GroupScales?.AsSpan(n * problem.Groups, problem.Groups).Fill(1);
                return;
            }

            int exponent = Math.ILogB(largest);
            for (int k = 0; k < weights.Length; k++)
            {
                scratch.Row[k] = (float)Math.ScaleB(weights[k], -exponent);
            }

            wanted.Choose(problem, n, scratch.Row, scratch.Steps);
            float top = scratch.Steps.Max();
            float scale = problem.Options.Scaling switch
            {
                WeightScaling.IntegerScale => (float)Math.ScaleB(1.0 / amplifier, -exponent),
                WeightScaling.PerChannel => top,
                _ => top / problem.LargestGroupScale,
            };
            grid.Scales[n] = (float)Math.ScaleB(scale, exponent);
            for (int g = 0; grouped && g < problem.Groups; g++)
            {
                grid.GroupScales![(n * problem.Groups) + g] = (ushort)Math.Clamp(MathF.Round(scratch.Steps[g] / scale), 1, problem.LargestGroupScale);
            }
        }, cancellationToken);
        return grid;
    }
}
