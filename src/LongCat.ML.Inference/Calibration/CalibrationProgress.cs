namespace LongCat.ML.Inference.Calibration;

/// <summary>How far a calibration has come. Reported after every step of the model.</summary>
/// <param name="TokensDone">Tokens computed, all passes together.</param>
/// <param name="TokensTotal">Tokens of all sequences times the passes.</param>
/// <param name="Pass">The pass that runs, from 1.</param>
/// <param name="Passes">How often the sequences run.</param>
public sealed record CalibrationProgress(long TokensDone, long TokensTotal, int Pass, int Passes);
