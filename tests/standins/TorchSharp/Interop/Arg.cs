using static TorchSharp.torch;

namespace TorchSharp.Interop;

/// <summary>One argument of an operator. It keeps the tensors it names alive while the call runs.</summary>
internal readonly struct Arg
{
    private Arg(int tag, long bits, object? reference = null)
    {
        Tag = tag;
        Bits = bits;
        Reference = reference;
    }

    internal const int None = 0, TensorTag = 1, DoubleTag = 2, IntTag = 3, BoolTag = 4, IntListTag = 5, TensorListTag = 6, OptionalTensorListTag = 7, StringTag = 8;

    internal int Tag { get; }

    internal long Bits { get; }

    internal object? Reference { get; }

    public static implicit operator Arg(Tensor? value) => value is null ? default : new(TensorTag, 0, value);

    public static implicit operator Arg(Tensor[] value) => new(TensorListTag, 0, value);

    public static implicit operator Arg(long[]? value) => value is null ? default : new(IntListTag, 0, value);

    public static implicit operator Arg(int value) => new(IntTag, value);

    public static implicit operator Arg(long value) => new(IntTag, value);

    public static implicit operator Arg(long? value) => value is null ? default : new(IntTag, value.Value);

    public static implicit operator Arg(double value) => new(DoubleTag, BitConverter.DoubleToInt64Bits(value));

    public static implicit operator Arg(bool value) => new(BoolTag, value ? 1 : 0);

    public static implicit operator Arg(ScalarType value) => new(IntTag, (long)value);

    public static implicit operator Arg(ScalarType? value) => value is null ? default : new(IntTag, (long)value.Value);

    public static implicit operator Arg(string? value) => value is null ? default : new(StringTag, 0, System.Text.Encoding.UTF8.GetBytes(value));

    public static implicit operator Arg(Scalar? value) => value switch
    {
        null => default,
        { IsFloating: true } => value.ToDouble(),
        { Type: ScalarType.Bool } => value.ToBoolean(),
        _ => value.ToInt64(),
    };

    /// <summary>A list whose null elements mean "no tensor" (indexing).</summary>
    internal static Arg Optional(Tensor?[] value) => new(OptionalTensorListTag, 0, value);
}
