namespace LongCat.ML.Checkpoints;

/// <summary>Facts about <see cref="TensorType"/>.</summary>
public static class TensorTypeExtensions
{
    private static readonly (TensorType Type, string Name, int Size)[] All =
    [
        (TensorType.Float32, "F32", 4), (TensorType.BFloat16, "BF16", 2), (TensorType.Float16, "F16", 2), (TensorType.Float64, "F64", 8),
        (TensorType.Float8E4M3, "F8_E4M3", 1), (TensorType.Float8E5M2, "F8_E5M2", 1), (TensorType.Int64, "I64", 8),
        (TensorType.Int32, "I32", 4), (TensorType.Int16, "I16", 2), (TensorType.Int8, "I8", 1), (TensorType.UInt8, "U8", 1),
        (TensorType.UInt16, "U16", 2), (TensorType.UInt32, "U32", 4), (TensorType.UInt64, "U64", 8), (TensorType.Bool, "BOOL", 1),
    ];

    /// <summary>All names of the format, for messages.</summary>
    internal static string AllNames { get; } = string.Join(", ", All.Select(t => t.Name));

    /// <summary>Bytes of one element: 1, 2, 4 or 8.</summary>
    /// <param name="type">The element type.</param>
    /// <returns>The size in bytes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public static int ElementSize(this TensorType type) => Row(type).Size;

    /// <summary>The type's name in a safetensors header, such as <c>BF16</c>.</summary>
    /// <param name="type">The element type.</param>
    /// <returns>The name.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public static string SafetensorsName(this TensorType type) => Row(type).Name;

    /// <summary>Whether the elements are floating-point numbers.</summary>
    /// <param name="type">The element type.</param>
    /// <returns>True for the six floating-point types.</returns>
    public static bool IsFloatingPoint(this TensorType type) => type is TensorType.Float32 or TensorType.BFloat16 or TensorType.Float16
        or TensorType.Float64 or TensorType.Float8E4M3 or TensorType.Float8E5M2;

    internal static bool TryParse(string name, out TensorType type)
    {
        foreach ((TensorType candidate, string candidateName, _) in All)
        {
            if (candidateName == name)
            {
                type = candidate;
                return true;
            }
        }

        type = default;
        return false;
    }

    private static (TensorType Type, string Name, int Size) Row(TensorType type)
    {
        int index = (int)type;
        return (uint)index < (uint)All.Length && All[index].Type == type
            ? All[index]
            : throw new ArgumentOutOfRangeException(nameof(type), type, "not an element type of safetensors");
    }
}
