using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>
/// Rounding to levels -8..7 and what it costs. Sums run over 16 fixed lanes whatever the processor has, so that every machine takes the same decisions
/// and writes the same bytes.
/// </summary>
internal static class StepMath
{
    public const int Lanes = 16;

    /// <summary>The next multiple of <see cref="Lanes"/>.</summary>
    public static int Padded(int length) => (length + Lanes - 1) / Lanes * Lanes;

    /// <summary>Σ h (w - step · level(w))². Both spans have the same length, a multiple of <see cref="Lanes"/>; an empty <paramref name="importance"/> counts all the same.</summary>
    public static float Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float step)
    {
        Vector512<float> inverse = Vector512.Create(step > 0 ? 1 / step : 0), negative = Vector512.Create(-step), sum = Vector512<float>.Zero;
        ReadOnlySpan<Vector512<float>> values = MemoryMarshal.Cast<float, Vector512<float>>(weights), counts = MemoryMarshal.Cast<float, Vector512<float>>(importance);
        for (int i = 0; i < values.Length; i++)
        {
            Vector512<float> error = Vector512.FusedMultiplyAdd(Level(values[i] * inverse), negative, values[i]);
            sum = Vector512.FusedMultiplyAdd(counts.IsEmpty ? error : error * counts[i], error, sum);
        }

        return Sum(sum);
    }

    /// <summary>
    /// The error, and its derivative by the step with rounding passed straight through: 2·Σ h (ŵ - w) ∂ŵ/∂step, ∂ŵ/∂step = level - w / step, or the level alone
    /// where w lies beyond the outermost one. Spans as for <see cref="Error"/>; the step is above 0.
    /// </summary>
    public static (float Error, float Slope) ErrorAndSlope(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float step)
    {
        Vector512<float> inverse = Vector512.Create(1 / step), width = Vector512.Create(step), errors = Vector512<float>.Zero, slopes = Vector512<float>.Zero;
        Vector512<float> lowest = Vector512.Create(-8f), highest = Vector512.Create(7f);
        ReadOnlySpan<Vector512<float>> values = MemoryMarshal.Cast<float, Vector512<float>>(weights), counts = MemoryMarshal.Cast<float, Vector512<float>>(importance);
        for (int i = 0; i < values.Length; i++)
        {
            Vector512<float> quotient = values[i] * inverse, level = Level(quotient);
            Vector512<float> error = Vector512.FusedMultiplyAdd(level, width, -values[i]);
            Vector512<float> cost = counts.IsEmpty ? error : error * counts[i];
            Vector512<float> within = Vector512.GreaterThanOrEqual(quotient, lowest) & Vector512.LessThanOrEqual(quotient, highest);
            errors = Vector512.FusedMultiplyAdd(cost, error, errors);
            slopes = Vector512.FusedMultiplyAdd(cost, level - (quotient & within), slopes);
        }

        return (Sum(errors), 2 * Sum(slopes));
    }

    /// <summary>Nearest levels of weights of any length; a step of 0 gives level 0.</summary>
    public static void Round(ReadOnlySpan<float> weights, float step, Span<sbyte> levels)
    {
        // The quotient itself: a reciprocal of a tiny step would be infinite.
        for (int i = 0; i < weights.Length; i++)
        {
            levels[i] = step == 0 ? (sbyte)0 : (sbyte)Math.Clamp(MathF.Round(weights[i] / step), -8, 7);
        }
    }

    /// <summary>The largest magnitude; infinity when any value is infinite or no number.</summary>
    public static float Largest(ReadOnlySpan<float> values)
    {
        uint largest = 0;
        foreach (uint bits in MemoryMarshal.Cast<float, uint>(values))
        {
            largest = Math.Max(largest, bits & 0x7FFFFFFF);
        }

        return largest >= 0x7F800000 ? float.PositiveInfinity : BitConverter.UInt32BitsToSingle(largest);
    }

    public static float Sum(Vector512<float> vector)
    {
        Vector256<float> eight = vector.GetLower() + vector.GetUpper();
        Vector128<float> four = eight.GetLower() + eight.GetUpper();
        return four[0] + four[2] + (four[1] + four[3]);
    }

    private static Vector512<float> Level(Vector512<float> quotient) =>
        Vector512.MinNative(Vector512.MaxNative(Vector512.Round(quotient), Vector512.Create(-8f)), Vector512.Create(7f));
}
