namespace LongCat.ML.Inference.Scheduling;

/// <summary>What one step may hold.</summary>
/// <param name="MaxSequences">Requests that run at the same time.</param>
/// <param name="MaxStepTokens">Tokens over all requests.</param>
/// <param name="MaxLogitRows">Rows of logits over all requests, at least <paramref name="MaxSequences"/>, so that each has one.</param>
internal readonly record struct SchedulerLimits(int MaxSequences, int MaxStepTokens, int MaxLogitRows);
