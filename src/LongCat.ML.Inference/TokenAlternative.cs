namespace LongCat.ML.Inference;

/// <summary>A token and its natural logarithm of probability.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProbability">Its log-probability, 0 or less.</param>
public readonly record struct TokenAlternative(int Id, double LogProbability);
