namespace LongCat.ML.Training.FineTuning;

/// <summary>A step as the report draws it; step 0 has the validation loss before training alone.</summary>
internal readonly record struct HistoryPoint(long Step, double Loss, double LearningRate, double Beta, double GradientNorm, double ValidationLoss)
{
    /// <summary>Numbers of a point, as a state stores them.</summary>
    public const int Fields = 6;

    public double[] ToArray() => [Step, Loss, LearningRate, Beta, GradientNorm, ValidationLoss];

    public static HistoryPoint From(ReadOnlySpan<double> fields) => new((long)fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]);
}
