namespace LongCat.ML.Checkpoints;

/// <summary>What the tensors of one purpose amount to.</summary>
/// <param name="Group">The purpose; null for tensors that the config does not call for.</param>
/// <param name="Tensors">How many tensors, block scales not counted.</param>
/// <param name="Parameters">Their elements, block scales not counted.</param>
/// <param name="Bytes">Their bytes in the files, block scales included.</param>
public sealed record TensorGroupSummary(TensorGroup? Group, int Tensors, long Parameters, long Bytes);
