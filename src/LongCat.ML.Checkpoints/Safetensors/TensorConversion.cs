using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Conversions between the stored floating-point types and float32. Widening is exact; narrowing rounds to nearest, ties to even.
/// The inputs may lie unaligned in a mapping.
/// </summary>
internal static class TensorConversion
{
    /// <summary>The 256 values of F8_E4M3 ("fn": no infinities, 0x7F and 0xFF are NaN). OCP 8-bit floating point, section 5.</summary>
    internal static readonly float[] Float8E4M3Values = Float8Table(exponentBits: 4, hasInfinity: false);

    /// <summary>The 256 values of F8_E5M2 (IEEE-like, with infinities). OCP 8-bit floating point, section 5.</summary>
    internal static readonly float[] Float8E5M2Values = Float8Table(exponentBits: 5, hasInfinity: true);

    /// <summary>BF16 to float32: the sixteen bits become the upper half.</summary>
    public static void WidenBFloat16(ReadOnlySpan<ushort> source, Span<float> destination)
    {
        Span<uint> bits = MemoryMarshal.Cast<float, uint>(destination);
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            ref ushort from = ref MemoryMarshal.GetReference(source);
            ref uint to = ref MemoryMarshal.GetReference(bits);
            for (; i <= source.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
            {
                (Vector256<uint> low, Vector256<uint> high) = Vector256.Widen(Vector256.LoadUnsafe(ref from, (nuint)i));
                (low << 16).StoreUnsafe(ref to, (nuint)i);
                (high << 16).StoreUnsafe(ref to, (nuint)(i + Vector256<uint>.Count));
            }
        }

        for (; i < source.Length; i++)
        {
            bits[i] = (uint)source[i] << 16;
        }
    }

    /// <summary>Float32 to BF16, round to nearest even; a NaN stays a NaN with its sign, an overflow becomes an infinity.</summary>
    public static void NarrowToBFloat16(ReadOnlySpan<float> source, Span<ushort> destination)
    {
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(source);
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            ref uint from = ref MemoryMarshal.GetReference(bits);
            ref ushort to = ref MemoryMarshal.GetReference(destination);
            for (; i <= bits.Length - Vector256<ushort>.Count; i += Vector256<ushort>.Count)
            {
                Vector256<uint> low = RoundToUpperHalf(Vector256.LoadUnsafe(ref from, (nuint)i));
                Vector256<uint> high = RoundToUpperHalf(Vector256.LoadUnsafe(ref from, (nuint)(i + Vector256<uint>.Count)));
                Vector256.Narrow(low, high).StoreUnsafe(ref to, (nuint)i);
            }
        }

        for (; i < bits.Length; i++)
        {
            destination[i] = RoundToUpperHalf(bits[i]);
        }
    }

    public static void WidenFloat16(ReadOnlySpan<Half> source, Span<float> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = (float)source[i];
        }
    }

    /// <summary>Float32 to F16, round to nearest even; an overflow becomes an infinity.</summary>
    public static void NarrowToFloat16(ReadOnlySpan<float> source, Span<Half> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = (Half)source[i];
        }
    }

    public static void NarrowFloat64(ReadOnlySpan<double> source, Span<float> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = (float)source[i];
        }
    }

    public static void WidenFloat8(ReadOnlySpan<byte> source, float[] values, Span<float> destination)
    {
        for (int i = 0; i < source.Length; i++)
        {
            destination[i] = values[source[i]];
        }
    }

    /// <summary>Counts NaN and infinities; the common case, none, runs vectorised.</summary>
    public static (long NaN, long Infinity) CountNonFinite(ReadOnlySpan<float> values)
    {
        const uint Exponent = 0x7F80_0000;
        ReadOnlySpan<uint> bits = MemoryMarshal.Cast<float, uint>(values);
        int i = 0;
        if (Vector.IsHardwareAccelerated)
        {
            Vector<uint> exponent = new(Exponent);
            for (; i <= bits.Length - Vector<uint>.Count; i += Vector<uint>.Count)
            {
                if (Vector.EqualsAny(new Vector<uint>(bits[i..]) & exponent, exponent))
                {
                    break;
                }
            }
        }

        long nan = 0;
        long infinity = 0;
        for (; i < values.Length; i++)
        {
            if ((bits[i] & Exponent) == Exponent)
            {
                if (float.IsNaN(values[i]))
                {
                    nan++;
                }
                else
                {
                    infinity++;
                }
            }
        }

        return (nan, infinity);
    }

    private static ushort RoundToUpperHalf(uint bits)
    {
        if ((bits & 0x7FFF_FFFF) > 0x7F80_0000)
        {
            // A NaN whose payload sits in the lower half would round to an infinity: keep the quiet bit.
            return (ushort)((bits >> 16) | 0x0040);
        }

        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    private static Vector256<uint> RoundToUpperHalf(Vector256<uint> bits)
    {
        Vector256<uint> upper = bits >>> 16;
        Vector256<uint> rounded = (bits + Vector256.Create(0x7FFFu) + (upper & Vector256<uint>.One)) >>> 16;
        Vector256<uint> isNaN = Vector256.GreaterThan(bits & Vector256.Create(0x7FFF_FFFFu), Vector256.Create(0x7F80_0000u));
        return Vector256.ConditionalSelect(isNaN, upper | Vector256.Create(0x0040u), rounded);
    }

    private static float[] Float8Table(int exponentBits, bool hasInfinity)
    {
        int fractionBits = 7 - exponentBits;
        int bias = (1 << (exponentBits - 1)) - 1;
        int topExponent = (1 << exponentBits) - 1;
        float[] values = new float[256];
        for (int code = 0; code < values.Length; code++)
        {
            int exponent = (code >> fractionBits) & topExponent;
            int fraction = code & ((1 << fractionBits) - 1);
            float magnitude;
            if (hasInfinity && exponent == topExponent)
            {
                magnitude = fraction == 0 ? float.PositiveInfinity : float.NaN;
            }
            else if (!hasInfinity && exponent == topExponent && fraction == (1 << fractionBits) - 1)
            {
                magnitude = float.NaN;
            }
            else if (exponent == 0)
            {
                magnitude = float.ScaleB(fraction, 1 - bias - fractionBits);
            }
            else
            {
                magnitude = float.ScaleB((1 << fractionBits) + fraction, exponent - bias - fractionBits);
            }

            values[code] = code >= 128 ? -magnitude : magnitude;
        }

        return values;
    }
}
