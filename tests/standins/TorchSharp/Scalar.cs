using static TorchSharp.torch;

namespace TorchSharp;

/// <summary>A number of any element type.</summary>
public sealed class Scalar : IDisposable
{
    private readonly double _double;
    private readonly long _long;

    private Scalar(ScalarType type, double value, long integer)
    {
        Type = type;
        _double = value;
        _long = integer;
    }

    public ScalarType Type { get; }

    internal bool IsFloating => is_floating_point(Type);

    public static implicit operator Scalar(byte value) => Of(ScalarType.Byte, value);

    public static implicit operator Scalar(sbyte value) => Of(ScalarType.Int8, value);

    public static implicit operator Scalar(short value) => Of(ScalarType.Int16, value);

    public static implicit operator Scalar(int value) => Of(ScalarType.Int32, value);

    public static implicit operator Scalar(long value) => Of(ScalarType.Int64, value);

    public static implicit operator Scalar(Half value) => Of(ScalarType.Float16, (double)value);

    public static implicit operator Scalar(BFloat16 value) => Of(ScalarType.BFloat16, (double)value);

    public static implicit operator Scalar(float value) => Of(ScalarType.Float32, value);

    public static implicit operator Scalar(double value) => Of(ScalarType.Float64, value);

    public static implicit operator Scalar(bool value) => Of(ScalarType.Bool, value ? 1L : 0L);

    public void Dispose()
    {
    }

    internal static Scalar Of(ScalarType type, long value) => new(type, value, value);

    internal static Scalar Of(ScalarType type, double value) => new(type, value, (long)value);

    internal double AsDouble => _double;

    internal long AsInt64 => _long;
}

public static class ScalarExtensionMethods
{
    public static Scalar ToScalar(this byte value) => value;

    public static Scalar ToScalar(this sbyte value) => value;

    public static Scalar ToScalar(this short value) => value;

    public static Scalar ToScalar(this int value) => value;

    public static Scalar ToScalar(this long value) => value;

    public static Scalar ToScalar(this float value) => value;

    public static Scalar ToScalar(this double value) => value;

    public static Scalar ToScalar(this bool value) => value;

    public static Scalar ToScalar(this Half value) => value;

    public static Scalar ToScalar(this BFloat16 value) => value;

    public static Half ToHalf(this Scalar value) => (Half)value.AsDouble;

    public static BFloat16 ToBFloat16(this Scalar value) => (BFloat16)value.AsDouble;

    public static float ToSingle(this Scalar value) => (float)value.AsDouble;

    public static double ToDouble(this Scalar value) => value.AsDouble;

    public static sbyte ToSByte(this Scalar value) => (sbyte)value.AsInt64;

    public static byte ToByte(this Scalar value) => (byte)value.AsInt64;

    public static short ToInt16(this Scalar value) => (short)value.AsInt64;

    public static int ToInt32(this Scalar value) => (int)value.AsInt64;

    public static long ToInt64(this Scalar value) => value.AsInt64;

    public static bool ToBoolean(this Scalar value) => value.AsDouble != 0;
}
