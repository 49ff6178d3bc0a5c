using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training;

/// <summary>What a <see cref="LoraEstimator"/> did.</summary>
public sealed record LoraReport
{
    /// <summary>How training went: steps, losses, examples left out, memory.</summary>
    public required FineTuningResult Training { get; init; }

    /// <summary>The steps in their order, with loss, learning rate, β and gradient norm.</summary>
    public required IReadOnlyList<FineTuningStep> Steps { get; init; }

    /// <summary>The seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Weights that were trained.</summary>
    public required long TrainableParameters { get; init; }

    /// <summary>The labels in the order of the transformer's keys; empty where there is no label column.</summary>
    public required IReadOnlyList<string> Labels { get; init; }

    /// <summary>Rows of the training view.</summary>
    public required long TrainingRows { get; init; }

    /// <summary>Rows of the validation view; 0 without one.</summary>
    public required long ValidationRows { get; init; }

    /// <summary>Rows of both that were left out: without a text, a label or a completion, with a label that the training rows lack, or malformed where <see cref="BadRows.Skip"/> is set.</summary>
    public required long UnusableRows { get; init; }

    /// <summary>What is wrong with the first of them, and which it is; null where there is none.</summary>
    public required string? FirstUnusableRow { get; init; }

    /// <summary>The page with the curves.</summary>
    public required string HtmlPath { get; init; }
}
