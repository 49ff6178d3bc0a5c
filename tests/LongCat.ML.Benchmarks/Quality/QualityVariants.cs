using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML.Benchmarks.Quality;

/// <summary>The exports of one table.</summary>
internal sealed record QualityVariants(string Title, IReadOnlyList<QualityVariant> Variants)
{
    private static readonly QuantizationOptions Default = new();

    /// <summary>Every recipe, group size and scheme of activations, and ONNX Runtime's own 4 bits.</summary>
    /// <param name="quick">Groups of 128 alone.</param>
    public static IEnumerable<QualityVariants> Recipes(bool quick)
    {
        int[] groups = quick ? [128] : [32, 64, 128, 0];
        int[] blocks = [.. groups.Where(group => group > 0)];
        QuantizationOptions projections = Default with { Experts = false, Head = HeadPrecision.Own };
        yield return new("Like with like: the same matrices in 4 bits, experts and output head in float",
            [.. groups.SelectMany(group => new[] { MatMulNBits(group, head: false), Ours("RoundToNearest", projections with { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = group }), Ours("LongCat", projections with { GroupSize = group }) })
                .OfType<QualityVariant>()]);
        yield return new("Everything that each quantizes by default",
            [.. blocks.Select(block => MatMulNBits(block, head: true)!), .. groups.Select(group => Ours("LongCat", Default with { GroupSize = group }))]);
        yield return new("Recipes by group size",
            [.. Enum.GetValues<QuantizationRecipe>().SelectMany(recipe => groups.Select(group => Ours($"{recipe}", Default with { Recipe = recipe, GroupSize = group })))]);
        yield return new("Activations of the default recipe",
            [.. Enum.GetValues<ActivationScheme>().SelectMany(scheme => new[] { false, true }.Select(equalize =>
                Ours($"LongCat, {scheme}{(equalize ? ", equalized" : "")}", Default with { Activations = scheme, Equalize = equalize })))]);
    }

    /// <summary>The default recipe without one of its steps, or with another in its place.</summary>
    public static QualityVariants Steps { get; } = new(
        "What each step of the default recipe gives",
        [
            Ours("nearest levels, no clipping", Default with { Compensate = false, Clipping = WeightClipping.None }),
            Ours("nearest levels, grid", Default with { Compensate = false }),
            Ours("nearest levels, learned clipping", Default with { Compensate = false, Clipping = WeightClipping.Learned }),
            Ours("compensated, no clipping", Default with { Clipping = WeightClipping.None }),
            Ours("compensated, grid (LongCat)", Default),
            Ours("compensated, learned clipping", Default with { Clipping = WeightClipping.Learned }),
            Ours("LongCat, group scales up to 15", Default with { Scaling = WeightScaling.TwoLevelNarrow }),
            Ours("LongCat, integer scales, amplifier 1024", Default with { Scaling = WeightScaling.IntegerScale }),
            Ours("LongCat, integer scales, amplifier searched", Default with { Scaling = WeightScaling.IntegerScale, Amplifier = 0 }),
            Ours("LongCat, n-gram tables in 8 bits", Default with { NGramTables = TablePrecision.Int8 }),
            Ours("LongCat, calibrated on random tokens", Default) with { DataFree = true },
        ]);

    private static QualityVariant Ours(string name, QuantizationOptions options)
    {
        // Resolved, the recipe's name changes nothing.
        QuantizationOptions resolved = options.Resolve() with { Recipe = default };
        return new QualityVariant(
            $"{name}, {(resolved.GroupSize is > 0 and int group ? $"g{group}" : "channel")}",
            statistics => Plain(WeightPrecision.W4A8) with { Quantization = resolved, Statistics = statistics });
    }

    /// <summary>ONNX Runtime's own 4 bits; it has no per-channel form.</summary>
    private static QualityVariant? MatMulNBits(int block, bool head) => block == 0 ? null : new QualityVariant(
        $"MatMulNBits level 4{(head ? "" : ", head in float")}, g{block}",
        _ => Plain(WeightPrecision.Int4) with { Operators = OperatorSet.Standard, Int4BlockSize = block, Int4Head = head });

    private static ExportOptions Plain(WeightPrecision precision) => new() { Precision = precision, IncludeDraft = false };
}

/// <summary>One export to measure.</summary>
internal sealed record QualityVariant(string Name, Func<IStatisticsSource, ExportOptions> Export)
{
    /// <summary>Whether its statistics come from random tokens.</summary>
    public bool DataFree { get; init; }
}
