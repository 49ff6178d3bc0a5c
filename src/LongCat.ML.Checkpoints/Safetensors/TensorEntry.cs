namespace LongCat.ML.Checkpoints;

/// <summary>One tensor of a safetensors file: what its header says, after every check has passed.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="Type">The element type as stored.</param>
/// <param name="Shape">The dimensions, outermost first; empty for a scalar. The elements lie row-major.</param>
/// <param name="File">Path of the file that holds the tensor.</param>
/// <param name="Offset">Where the first byte lies, counted from the start of the file (not of the data section).</param>
/// <param name="ByteLength">The tensor's size in bytes: elements × element size.</param>
public sealed record TensorEntry(string Name, TensorType Type, IReadOnlyList<long> Shape, string File, long Offset, long ByteLength)
{
    /// <summary>The number of elements: the product of <see cref="Shape"/>, 1 for a scalar.</summary>
    public long ElementCount => ByteLength / Type.ElementSize();

    /// <summary>The tensor as one line, for instance <c>model.norm.weight BF16 [3072]</c>.</summary>
    /// <returns>Name, type and shape.</returns>
    public override string ToString() => $"{CheckpointException.Printable(Name)} {Type.SafetensorsName()} {ShapeText(Shape)}";

    internal static string ShapeText(IReadOnlyList<long> shape) => $"[{string.Join(", ", shape)}]";

    /// <summary>Whether two shapes are the same.</summary>
    internal static bool SameShape(IReadOnlyList<long> a, IReadOnlyList<long> b)
    {
        if (a.Count != b.Count)
        {
            return false;
        }

        for (int i = 0; i < a.Count; i++)
        {
            if (a[i] != b[i])
            {
                return false;
            }
        }

        return true;
    }
}
