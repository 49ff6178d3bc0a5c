namespace LongCat.ML.Inference.Requests;

/// <summary>Where a completion ends at the latest.</summary>
/// <param name="MaxNewTokens">The most new tokens, at least 1, the model's longest sequence taken into account.</param>
/// <param name="EosTokenIds">The model's end-of-sequence tokens.</param>
internal readonly record struct GenerationLimits(int MaxNewTokens, IReadOnlyList<int> EosTokenIds);
