namespace LongCat.ML.Checkpoints;

/// <summary>What the tensors of one element type amount to.</summary>
/// <param name="Type">The element type as stored.</param>
/// <param name="Tensors">How many tensors.</param>
/// <param name="Bytes">Their bytes in the files.</param>
public sealed record TensorTypeSummary(TensorType Type, int Tensors, long Bytes);
