using LongCat.ML.Onnx.Messages;

namespace LongCat.ML.Onnx;

/// <summary>A dimension of an input or output: a number, or a name for what is known only at run time.</summary>
internal readonly record struct Dimension(long Size, string? Name)
{
    public static implicit operator Dimension(long size) => new(size, null);

    public static implicit operator Dimension(string name) => new(0, name);

    public TensorShapeProto.Types.Dimension ToMessage() =>
        Name is null ? new() { DimValue = Size } : new() { DimParam = Name };
}
