namespace LongCat.ML.Training.Pretraining;

/// <summary>What one step did.</summary>
/// <param name="Step">The step, from 1.</param>
/// <param name="Tokens">Tokens seen so far, padding not counted.</param>
/// <param name="Epoch">The epoch of the data, from 0.</param>
/// <param name="Loss">Mean cross-entropy of the next token, in nats.</param>
/// <param name="DraftLoss">Mean cross-entropy of the draft head, NaN without one.</param>
/// <param name="Balance">The load-balance loss before its weight: 1 at the target.</param>
/// <param name="RealExperts">Real experts per token.</param>
/// <param name="LearningRate">The rate of the step.</param>
/// <param name="GradientNorm">The gradients' joint norm before clipping.</param>
public sealed record StepReport(
    long Step, long Tokens, int Epoch, double Loss, double DraftLoss, double Balance, double RealExperts, double LearningRate, double GradientNorm);
