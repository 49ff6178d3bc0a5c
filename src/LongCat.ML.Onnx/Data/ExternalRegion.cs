namespace LongCat.ML.Onnx;

/// <summary>Where a tensor lies in the external data.</summary>
/// <param name="Location">The data file's name, beside the graph.</param>
/// <param name="Offset">Bytes from the file's start, a multiple of <see cref="ExternalData.Alignment"/>.</param>
/// <param name="Length">Bytes.</param>
internal readonly record struct ExternalRegion(string Location, long Offset, long Length);
