namespace LongCat.ML.Onnx;

/// <summary>Attributes of com.microsoft::GroupQueryAttention.</summary>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads.</param>
/// <param name="Scale">What scores are multiplied by before the softmax.</param>
/// <param name="Window">Tokens that a query sees, itself included; -1 for all.</param>
/// <param name="Streaming">Whether the step's streaming bias is added to the scores.</param>
internal sealed record GroupQueryAttentionNode(long Heads, long KeyValueHeads, double Scale, long Window, bool Streaming);
