namespace LongCat.ML.Checkpoints;

/// <summary>How far <see cref="MergedCheckpoint.Write"/> is.</summary>
/// <param name="BytesDone">Bytes of weights written.</param>
/// <param name="BytesTotal">Bytes of weights in all.</param>
public readonly record struct MergeProgress(long BytesDone, long BytesTotal);
