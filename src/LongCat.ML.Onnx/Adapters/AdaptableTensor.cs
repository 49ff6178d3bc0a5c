namespace LongCat.ML.Onnx.Adapters;

/// <summary>An initializer in the external data of a graph.</summary>
/// <param name="Name">Its name in the graph.</param>
/// <param name="ElementType">The number that ONNX and ONNX Runtime both have for its type: 1 float32, 2 uint8, 16 bfloat16.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="Location">The data file, relative to the graph's folder.</param>
/// <param name="Offset">Where it begins there.</param>
/// <param name="Length">Its bytes.</param>
public sealed record AdaptableTensor(string Name, int ElementType, IReadOnlyList<long> Shape, string Location, long Offset, long Length);
