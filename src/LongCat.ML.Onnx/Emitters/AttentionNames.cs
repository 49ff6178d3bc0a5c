namespace LongCat.ML.Onnx;

/// <summary>The names around one attention sub-layer.</summary>
/// <param name="Weights">Prefix of its tensors in the checkpoint.</param>
/// <param name="Values">Prefix of its values in the graph.</param>
/// <param name="CacheOutput">The graph output that carries its cache.</param>
internal sealed record AttentionNames(string Weights, string Values, string CacheOutput);
