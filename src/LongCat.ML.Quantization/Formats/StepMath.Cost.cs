using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Quantization;

internal static partial class StepMath
{
    /// <summary>What a group's levels cost: Σ h (w - ŵ)², Σ h w², and how many weights lie beyond the outermost levels by more than half a step.</summary>
    public readonly record struct Cost(double Error, double Square, long Clipped);

    /// <summary>The cost of given levels, in double; spans of any length and magnitude.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static Cost CostOf(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float step, ReadOnlySpan<sbyte> levels, LevelRange range)
    {
        Vector512<double> error = Vector512<double>.Zero, square = error;
        long clipped = 0;
        int whole = weights.Length / Lanes * Lanes;
        for (int at = 0; at < whole; at += Lanes)
        {
            Add(Vector512.Create(weights[at..]), Vector512.Create(importance[at..]), Vector128.Create(levels[at..]), step, range, ref error, ref square, ref clipped);
        }

        if (whole < weights.Length)
        {
            Span<float> rest = stackalloc float[Lanes], counts = stackalloc float[Lanes];
            Span<sbyte> restLevels = stackalloc sbyte[Lanes];
            weights[whole..].CopyTo(rest);
            importance[whole..].CopyTo(counts);
            levels[whole..].CopyTo(restLevels);
            Add(Vector512.Create<float>(rest), Vector512.Create<float>(counts), Vector128.Create<sbyte>(restLevels), step, range, ref error, ref square, ref clipped);
        }

        return new(Sum(error), Sum(square), clipped);
    }

    private static void Add(Vector512<float> weights, Vector512<float> importance, Vector128<sbyte> levels, float step, LevelRange range,
        ref Vector512<double> error, ref Vector512<double> square, ref long clipped)
    {
        (Vector128<short> low, Vector128<short> high) = Vector128.Widen(levels);
        (Vector128<int> first, Vector128<int> second) = Vector128.Widen(low);
        (Vector128<int> third, Vector128<int> fourth) = Vector128.Widen(high);
        Vector512<float> level = Vector512.ConvertToSingle(Vector512.Create(Vector256.Create(first, second), Vector256.Create(third, fourth)));
        (Vector512<double> weightLow, Vector512<double> weightHigh) = Vector512.Widen(weights);
        (Vector512<double> countLow, Vector512<double> countHigh) = Vector512.Widen(importance);
        (Vector512<double> levelLow, Vector512<double> levelHigh) = Vector512.Widen(level);
        Add(weightLow, countLow, levelLow, step, range, ref error, ref square, ref clipped);
        Add(weightHigh, countHigh, levelHigh, step, range, ref error, ref square, ref clipped);
    }

    private static void Add(Vector512<double> weights, Vector512<double> counts, Vector512<double> levels, double step, LevelRange range,
        ref Vector512<double> error, ref Vector512<double> square, ref long clipped)
    {
        Vector512<double> off = weights - (levels * step);
        error += off * off * counts;
        square += weights * weights * counts;
        // With a negative step the levels run the other way.
        Vector512<double> turned = step < 0 ? -weights : weights;
        Vector512<double> beyond = Vector512.GreaterThan(turned, Vector512.Create((range.High + 0.5) * Math.Abs(step))) | Vector512.LessThan(turned, Vector512.Create((range.Low - 0.5) * Math.Abs(step)));
        clipped += BitOperations.PopCount(beyond.ExtractMostSignificantBits());
    }

    private static double Sum(Vector512<double> vector)
    {
        Vector256<double> four = vector.GetLower() + vector.GetUpper();
        return four[0] + four[2] + (four[1] + four[3]);
    }
}
