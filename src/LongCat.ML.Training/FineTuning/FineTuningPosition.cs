namespace LongCat.ML.Training.FineTuning;

/// <summary>Where a fine-tuning stands, as state.json says it.</summary>
internal sealed record FineTuningPosition(
    int FormatVersion,
    long Step,
    long OptimizerSteps,
    long Tokens,
    long TrainableTokens,
    double Seconds,
    int Epoch,
    int Row,
    long BestStep,
    double BestLoss,
    bool HasBest,
    double? InitialLoss,
    int WithoutProgress,
    bool StoppedEarly,
    string Settings);
