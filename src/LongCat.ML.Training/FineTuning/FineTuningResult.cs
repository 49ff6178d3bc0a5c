namespace LongCat.ML.Training.FineTuning;

/// <summary>How a fine-tuning went.</summary>
public sealed record FineTuningResult
{
    /// <summary>Steps made.</summary>
    public required long Steps { get; init; }

    /// <summary>Whether it stopped before <see cref="FineTuningOptions.Steps"/> because the validation loss no longer fell.</summary>
    public required bool StoppedEarly { get; init; }

    /// <summary>The step whose weights the model now has: the best one measured, or the last one.</summary>
    public required long BestStep { get; init; }

    /// <summary>The mean loss of the last steps (up to ten).</summary>
    public required double TrainingLoss { get; init; }

    /// <summary>The validation loss before the first step; null without validation examples.</summary>
    public required double? InitialValidationLoss { get; init; }

    /// <summary>The validation loss of <see cref="BestStep"/>; null without validation examples.</summary>
    public required double? ValidationLoss { get; init; }

    /// <summary>What became of the examples.</summary>
    public required ExampleCounts Counts { get; init; }

    /// <summary>Tokens seen, padding not counted.</summary>
    public required long Tokens { get; init; }

    /// <summary>Time trained, over all resumed parts.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>The most memory that the process held at once, in bytes; 0 where the system does not say.</summary>
    public required long PeakMemory { get; init; }
}
