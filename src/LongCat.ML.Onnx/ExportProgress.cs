namespace LongCat.ML.Onnx;

/// <summary>How far the writing of the weights has come. Reported about every 16 MiB, or every half second where those take longer, and once at the end.</summary>
/// <param name="BytesDone">Bytes of model.onnx.data written so far.</param>
/// <param name="BytesTotal">Bytes it will have.</param>
/// <param name="Tensor">The tensor being written.</param>
public sealed record ExportProgress(long BytesDone, long BytesTotal, string Tensor);
