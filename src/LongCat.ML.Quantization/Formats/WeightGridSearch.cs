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
        problem.ForRows(() => new Scratch(problem), (n, scratch) =>
        {
            ReadOnlySpan<float> weights = problem.Row(n);
            float largest = StepMath.Largest(weights);
            if (largest == 0)
            {
                grid.GroupScales?.AsSpan(n * problem.Groups, problem.Groups).Fill(1);
                return;
            }

            int exponent = Math.ILogB(largest);
            double unit = Math.ScaleB(1, -exponent);
            for (int g = 0; g < problem.Groups; g++)
            {
                int first = g * problem.GroupLength, length = Math.Min(problem.GroupLength, weights.Length - first);
                Array.Clear(scratch.Weights);
                for (int i = 0; i < length; i++)
                {
                    scratch.Weights[i] = (float)(weights[first + i] * unit);
                }

                problem.Importance?.AsSpan(first, length).CopyTo(scratch.Importance);
                scratch.Steps[g] = wanted.Choose(scratch.Weights, scratch.Importance);
            }

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
                grid.GroupScales![(n * problem.Groups) + g] = (short)Math.Clamp(MathF.Round(scratch.Steps[g] / scale), 1, problem.LargestGroupScale);
            }
        }, cancellationToken);
        return grid;
    }

    /// <summary>What a thread needs for a row: one padded group, and the steps of all. What lies behind a short last group counts nothing, for its weights are zeros.</summary>
    private sealed class Scratch(MatrixProblem problem)
    {
        public float[] Weights { get; } = new float[StepMath.Padded(problem.GroupLength)];

        public float[] Importance { get; } = new float[problem.Importance is null ? 0 : StepMath.Padded(problem.GroupLength)];

        public float[] Steps { get; } = new float[problem.Groups];
    }
}
