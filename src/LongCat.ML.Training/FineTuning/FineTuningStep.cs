namespace LongCat.ML.Training.FineTuning;

/// <summary>What one step did.</summary>
public sealed record FineTuningStep
{
    /// <summary>The step, from 1.</summary>
    public required long Step { get; init; }

    /// <summary>All steps of the run, unless it stops early.</summary>
    public required long TotalSteps { get; init; }

    /// <summary>How often the training examples have been seen, as a number of epochs.</summary>
    public required int Epoch { get; init; }

    /// <summary>Tokens seen so far, padding not counted.</summary>
    public required long Tokens { get; init; }

    /// <summary>Targets that the losses have counted so far.</summary>
    public required long TrainableTokens { get; init; }

    /// <summary>Mean cross-entropy over the step's targets, in nats.</summary>
    public required double Loss { get; init; }

    /// <summary>The step's learning rate, before a group's factor.</summary>
    public required double LearningRate { get; init; }

    /// <summary>β of AFA-LoRA during the step; 0 without it.</summary>
    public required double Beta { get; init; }

    /// <summary>The gradients' joint norm before clipping.</summary>
    public required double GradientNorm { get; init; }

    /// <summary>Mean cross-entropy over the validation examples after the step; null where it was not measured.</summary>
    public double? ValidationLoss { get; init; }

    /// <summary>Time trained so far, over all resumed parts.</summary>
    public required TimeSpan Elapsed { get; init; }
}
