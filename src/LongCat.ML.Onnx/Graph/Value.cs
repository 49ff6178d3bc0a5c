namespace LongCat.ML.Onnx;

/// <summary>The name of a value in a graph: an input, an initializer or a node's output.</summary>
internal readonly record struct Value(string Name)
{
    /// <summary>An optional input that is left out.</summary>
    public static Value None { get; } = new("");
}
