namespace LongCat.ML.Training.FineTuning;

/// <summary>What happens to an example that is longer than a packed row.</summary>
public enum OverlongExamples
{
    /// <summary>It is cut (see <see cref="TrainingExample.Truncate"/>) and counted.</summary>
    Truncate,

    /// <summary>It is left out and counted.</summary>
    Skip,

    /// <summary>It is an error that names the row.</summary>
    Fail,
}
