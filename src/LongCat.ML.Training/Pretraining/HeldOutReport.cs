namespace LongCat.ML.Training.Pretraining;

/// <summary>How a model does on held-out documents.</summary>
/// <param name="Tokens">Predicted tokens.</param>
/// <param name="Loss">Mean cross-entropy of the next token, in nats.</param>
/// <param name="DraftLoss">Mean cross-entropy of the draft head, NaN without one.</param>
/// <param name="DraftAgreement">
/// The share of positions where the draft head names the token that greedy decoding names after the true context, NaN without a head: how often one greedy draft would be accepted.
/// </param>
/// <param name="DraftPositions">Positions that <paramref name="DraftAgreement"/> counts.</param>
public sealed record HeldOutReport(long Tokens, double Loss, double DraftLoss, double DraftAgreement, long DraftPositions)
{
    /// <summary>exp of <see cref="Loss"/>.</summary>
    public double Perplexity => Math.Exp(Loss);
}
