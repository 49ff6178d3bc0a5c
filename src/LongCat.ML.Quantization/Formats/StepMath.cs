using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

/// <summary>
/// Rounding to levels and what it costs. Sums run over 16 fixed lanes whatever the processor has, so that every machine takes the same decisions and
/// writes the same bytes. Steps may be negative: the levels then run the other way. Spans of weights and importance have one length, a multiple of
/// <see cref="Lanes"/>, filled up with zeros. The loops are optimized when they are first called, for small models would be done before that otherwise.
/// </summary>
internal static partial class StepMath
{
    public const int Lanes = 16;

    /// <summary>Steps that <see cref="Errors"/> tries in one pass over the weights.</summary>
    public const int Tries = 4;

    /// <summary>The length that holds <paramref name="count"/> values in whole vectors.</summary>
    public static int Padded(int count) => (count + Lanes - 1) / Lanes * Lanes;

    /// <summary>Σ h (w - step · level(w))² of four steps; a step of 0 gives level 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Errors(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, LevelRange range, ReadOnlySpan<float> steps, Span<float> errors)
    {
        ReadOnlySpan<Vector512<float>> values = MemoryMarshal.Cast<float, Vector512<float>>(weights);
        ReadOnlySpan<Vector512<float>> counts = MemoryMarshal.Cast<float, Vector512<float>>(importance)[..values.Length];
        Vector512<float> low = Vector512.Create(range.Low), high = Vector512.Create(range.High);
        Vector512<float> step0 = Vector512.Create(steps[0]), step1 = Vector512.Create(steps[1]), step2 = Vector512.Create(steps[2]), step3 = Vector512.Create(steps[3]);
        Vector512<float> inverse0 = Inverse(steps[0]), inverse1 = Inverse(steps[1]), inverse2 = Inverse(steps[2]), inverse3 = Inverse(steps[3]);
        Vector512<float> sum0 = Vector512<float>.Zero, sum1 = sum0, sum2 = sum0, sum3 = sum0;
        for (int i = 0; i < values.Length; i++)
        {
            Vector512<float> value = values[i], count = counts[i];
            Vector512<float> error0 = value - (Level(value * inverse0, low, high) * step0), error1 = value - (Level(value * inverse1, low, high) * step1);
            Vector512<float> error2 = value - (Level(value * inverse2, low, high) * step2), error3 = value - (Level(value * inverse3, low, high) * step3);
            sum0 += error0 * error0 * count;
            sum1 += error1 * error1 * count;
            sum2 += error2 * error2 * count;
            sum3 += error3 * error3 * count;
        }

        errors[0] = Sum(sum0);
        errors[1] = Sum(sum1);
        errors[2] = Sum(sum2);
        errors[3] = Sum(sum3);
    }

    /// <summary>Σ h (w - step · level(w))² of 4-bit levels.</summary>
    public static float Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float step) => Error(weights, importance, LevelRange.FourBits, step);

    /// <summary>Σ h (w - step · level(w))².</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, LevelRange range, float step)
    {
        ReadOnlySpan<Vector512<float>> values = MemoryMarshal.Cast<float, Vector512<float>>(weights);
        ReadOnlySpan<Vector512<float>> counts = MemoryMarshal.Cast<float, Vector512<float>>(importance)[..values.Length];
        Vector512<float> low = Vector512.Create(range.Low), high = Vector512.Create(range.High), wide = Vector512.Create(step), inverse = Inverse(step), sum = Vector512<float>.Zero;
        for (int i = 0; i < values.Length; i++)
        {
            Vector512<float> error = values[i] - (Level(values[i] * inverse, low, high) * wide);
            sum += error * error * counts[i];
        }

        return Sum(sum);
    }

    /// <summary>The step that suits the levels best which <paramref name="step"/> gives: Σ h w q / Σ h q², as the two sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Product, float Square) Fit(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, LevelRange range, float step)
    {
        ReadOnlySpan<Vector512<float>> values = MemoryMarshal.Cast<float, Vector512<float>>(weights);
        ReadOnlySpan<Vector512<float>> counts = MemoryMarshal.Cast<float, Vector512<float>>(importance)[..values.Length];
        Vector512<float> low = Vector512.Create(range.Low), high = Vector512.Create(range.High), inverse = Inverse(step), product = Vector512<float>.Zero, square = product;
        for (int i = 0; i < values.Length; i++)
        {
            Vector512<float> level = Level(values[i] * inverse, low, high), counted = level * counts[i];
            product += counted * values[i];
            square += counted * level;
        }

        return (Sum(product), Sum(square));
    }

    /// <summary>
    /// The error, and its derivative by the step with rounding passed straight through: 2·Σ h (ŵ - w) ∂ŵ/∂step, ∂ŵ/∂step = level - w / step, or the level alone
    /// where w lies beyond the outermost one. Spans as for the error; the step is above 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Error, float Slope) ErrorAndSlope(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float step)
    {
        Vector512<float> inverse = Vector512.Create(1 / step), width = Vector512.Create(step), errors = Vector512<float>.Zero, slopes = Vector512<float>.Zero;
        Vector512<float> lowest = Vector512.Create(-8f), highest = Vector512.Create(7f);
        ReadOnlySpan<Vector512<float>> values = MemoryMarshal.Cast<float, Vector512<float>>(weights), counts = MemoryMarshal.Cast<float, Vector512<float>>(importance);
        for (int i = 0; i < values.Length; i++)
        {
            Vector512<float> quotient = values[i] * inverse, level = Level(quotient, lowest, highest);
            Vector512<float> error = Vector512.FusedMultiplyAdd(level, width, -values[i]);
            Vector512<float> cost = error * counts[i];
            Vector512<float> within = Vector512.GreaterThanOrEqual(quotient, lowest) & Vector512.LessThanOrEqual(quotient, highest);
            errors = Vector512.FusedMultiplyAdd(cost, error, errors);
            slopes = Vector512.FusedMultiplyAdd(cost, level - (quotient & within), slopes);
        }

        return (Sum(errors), 2 * Sum(slopes));
    }

    /// <summary>Nearest levels of weights of any length and magnitude; a step of 0 gives level 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Round(ReadOnlySpan<float> weights, float step, LevelRange range, Span<sbyte> levels)
    {
        if (step == 0)
        {
            levels.Clear();
            return;
        }

        // The quotient itself: a reciprocal of a tiny step would be infinite.
        Vector512<float> low = Vector512.Create(range.Low), high = Vector512.Create(range.High), wide = Vector512.Create(step);
        int at = 0;
        for (; at + Lanes <= weights.Length; at += Lanes)
        {
            Vector512<int> level = Vector512.ConvertToInt32Native(Level(Vector512.Create(weights[at..]) / wide, low, high));
            Vector128.Narrow(Vector128.Narrow(level.GetLower().GetLower(), level.GetLower().GetUpper()), Vector128.Narrow(level.GetUpper().GetLower(), level.GetUpper().GetUpper())).CopyTo(levels[at..]);
        }

        for (; at < weights.Length; at++)
        {
            levels[at] = (sbyte)Math.Clamp(MathF.Round(weights[at] / step), range.Low, range.High);
        }
    }

    /// <summary>The largest magnitude of values of any length; infinity when one is infinite or no number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Largest(ReadOnlySpan<float> values)
    {
        // Magnitudes order like their bits; no number lies above infinity.
        ReadOnlySpan<Vector512<uint>> vectors = MemoryMarshal.Cast<float, Vector512<uint>>(values);
        Vector512<uint> most = Vector512<uint>.Zero, magnitude = Vector512.Create(0x7FFFFFFFu);
        foreach (Vector512<uint> vector in vectors)
        {
            most = Vector512.Max(most, vector & magnitude);
        }

        uint largest = 0;
        for (int lane = 0; lane < Lanes; lane++)
        {
            largest = Math.Max(largest, most[lane]);
        }

        foreach (float value in values[(vectors.Length * Lanes)..])
        {
            largest = Math.Max(largest, BitConverter.SingleToUInt32Bits(value) & 0x7FFFFFFF);
        }

        return largest >= 0x7F800000 ? float.PositiveInfinity : BitConverter.UInt32BitsToSingle(largest);
    }

    /// <summary>The least and the largest value, and zero, which always counts along; whole vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Least, float Most) Ends(ReadOnlySpan<float> weights)
    {
        Vector512<float> least = Vector512<float>.Zero, most = least;
        foreach (Vector512<float> vector in MemoryMarshal.Cast<float, Vector512<float>>(weights))
        {
            least = Vector512.MinNative(least, vector);
            most = Vector512.MaxNative(most, vector);
        }

        (float low, float high) = (0, 0);
        for (int lane = 0; lane < Lanes; lane++)
        {
            (low, high) = (Math.Min(low, least[lane]), Math.Max(high, most[lane]));
        }

        return (low, high);
    }

    /// <summary>source · factor, and zeros up to the end of <paramref name="target"/>; both factors are powers of two whose product may be out of a float's range.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(ReadOnlySpan<float> source, float factor, float factorAgain, Span<float> target)
    {
        Vector512<float> first = Vector512.Create(factor), second = Vector512.Create(factorAgain);
        int at = 0;
        for (; at + Lanes <= source.Length; at += Lanes)
        {
            (Vector512.Create(source[at..]) * first * second).CopyTo(target[at..]);
        }

        for (; at < source.Length; at++)
        {
            target[at] = source[at] * factor * factorAgain;
        }

        target[at..].Clear();
    }

    private static Vector512<float> Inverse(float step) => Vector512.Create(step == 0 ? 0 : 1 / step);

    // Two instructions instead of a call where a processor rounds; ties to even.
    private static Vector512<float> Level(Vector512<float> quotient, Vector512<float> low, Vector512<float> high) =>
        Vector512.MinNative(Vector512.MaxNative(Vector512.Round(quotient), low), high);

    private static float Sum(Vector512<float> vector)
    {
        Vector256<float> eight = vector.GetLower() + vector.GetUpper();
        Vector128<float> four = eight.GetLower() + eight.GetUpper();
        return four[0] + four[2] + (four[1] + four[3]);
    }
}
