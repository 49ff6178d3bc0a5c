using LongCat.ML.Checkpoints;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training;

/// <summary>What a <see cref="ZigZagEstimator"/> did.</summary>
public sealed record ZigZagReport
{
    /// <summary>α of every attention.</summary>
    public required ZigZagCalibration Calibration { get; init; }

    /// <summary>How the calibration went: steps, losses, texts left out, memory.</summary>
    public required FineTuningResult CalibrationRun { get; init; }

    /// <summary>The pattern and the streaming attentions.</summary>
    public required StreamingAttentionConfig Streaming { get; init; }

    /// <summary>How fine-tuning went; null without.</summary>
    public required FineTuningResult? FineTuning { get; init; }

    /// <summary>The steps of calibration and fine-tuning in their order.</summary>
    public required IReadOnlyList<FineTuningStep> Steps { get; init; }

    /// <summary>The seed of everything random.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Rows of the training view.</summary>
    public required long TrainingRows { get; init; }

    /// <summary>Rows of the validation view; 0 without one.</summary>
    public required long ValidationRows { get; init; }

    /// <summary>Rows of both that were left out: without a text, or malformed where <see cref="BadRows.Skip"/> is set.</summary>
    public required long UnusableRows { get; init; }

    /// <summary>What is wrong with the first of them, and which it is; null where there is none.</summary>
    public required string? FirstUnusableRow { get; init; }

    /// <summary>The calibration's page with the picture of all α.</summary>
    public required string HtmlPath { get; init; }
}
