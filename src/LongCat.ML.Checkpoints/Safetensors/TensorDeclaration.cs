namespace LongCat.ML.Checkpoints;

/// <summary>A tensor that a <see cref="SafetensorsWriter"/> is going to be given.</summary>
/// <param name="Name">The tensor's name; not empty, not <c>__metadata__</c>.</param>
/// <param name="Type">The element type to store.</param>
/// <param name="Shape">The dimensions, outermost first, none negative; empty for a scalar.</param>
public sealed record TensorDeclaration(string Name, TensorType Type, IReadOnlyList<long> Shape);
