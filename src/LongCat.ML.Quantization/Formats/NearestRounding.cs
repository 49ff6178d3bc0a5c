namespace LongCat.ML.Quantization;

/// <summary>Every weight takes its nearest level, ties to the even one.</summary>
internal sealed class NearestRounding : IWeightRounding
{
    public string Scheme => "nearest";

    public double? Round(MatrixProblem problem, WeightGrid grid, sbyte[] levels, CancellationToken cancellationToken)
    {
        int length = problem.GroupLength;
        problem.ForRows(() => 0, (n, _) =>
        {
            ReadOnlySpan<float> row = problem.Row(n);
            Span<sbyte> target = levels.AsSpan(checked((int)((long)n * problem.InFeatures)), row.Length);
            for (int g = 0; g < problem.Groups; g++)
            {
                Range range = (g * length)..Math.Min(row.Length, (g + 1) * length);
                StepMath.Round(row[range], grid.Step(n, g), LevelRange.FourBits, target[range]);
            }
        }, cancellationToken);
        return null;
    }
}
