namespace LongCat.ML.Training.Pretraining;

/// <summary>Where training stands, as state.json says it.</summary>
/// <param name="FormatVersion">1.</param>
/// <param name="Step">Steps made.</param>
/// <param name="OptimizerSteps">Updates made (steps whose gradient was finite).</param>
/// <param name="Tokens">Tokens seen.</param>
/// <param name="Seconds">Time trained.</param>
/// <param name="Epoch">The epoch of the data.</param>
/// <param name="Row">The next row of the epoch.</param>
/// <param name="Seed">Seed of the data order.</param>
/// <param name="Columns">Tokens per row.</param>
public sealed record TrainingPosition(int FormatVersion, long Step, long OptimizerSteps, long Tokens, double Seconds, int Epoch, int Row, ulong Seed, int Columns);
