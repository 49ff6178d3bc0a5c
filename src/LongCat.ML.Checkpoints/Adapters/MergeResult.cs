namespace LongCat.ML.Checkpoints;

/// <summary>What <see cref="MergedCheckpoint.Write"/> wrote.</summary>
/// <param name="Folder">The folder, a full path.</param>
/// <param name="TensorCount">Tensors in the folder.</param>
/// <param name="MergedTensors">Tensors that the adapters changed.</param>
/// <param name="Bytes">Bytes of weights.</param>
/// <param name="Elapsed">The time it took.</param>
public sealed record MergeResult(string Folder, int TensorCount, int MergedTensors, long Bytes, TimeSpan Elapsed);
