using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>One tensor on its way into the external data: its type and shape are known at once, its bytes come when they are asked for.</summary>
/// <param name="key">The identity: two uses with the same key are stored once.</param>
/// <param name="type">The type it is stored as.</param>
/// <param name="shape">Its dimensions, row-major.</param>
internal abstract class TensorSource(string key, ElementType type, IReadOnlyList<long> shape)
{
    public string Key { get; } = key;

    public ElementType Type { get; } = type;

    public IReadOnlyList<long> Shape { get; } = shape;

    public long ByteLength { get; } = checked(shape.Aggregate(1L, (product, dimension) => checked(product * dimension)) * SizeOf(type));

    /// <summary>Writes exactly <see cref="ByteLength"/> bytes, little-endian and row-major, with bounded memory.</summary>
    public abstract void CopyTo(Stream destination);

    private static int SizeOf(ElementType type) => type switch
    {
        ElementType.Float or ElementType.Int32 => 4,
        ElementType.Bfloat16 or ElementType.Float16 => 2,
        ElementType.Int64 => 8,
        ElementType.Uint8 or ElementType.Int8 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "the exporter stores float32, float16, bfloat16, int32, int64, uint8 and int8"),
    };
}
