using System.Globalization;

namespace LongCat.ML.Quantization;

public sealed partial record QuantizationOptions
{
    private const int MostAmplifier = 1 << 24;

    /// <summary>Whether calibration statistics are needed. Of resolved options; of others, of what they resolve to.</summary>
    public bool NeedsStatistics => Resolve() is var options
        && (options.Compensate == true || options.Clipping == WeightClipping.Learned || options.Activations != ActivationScheme.Dynamic || options.Equalize == true);

    /// <summary>Whether the statistics must hold Gram matrices (compensation). Of resolved options; of others, of what they resolve to.</summary>
    public bool NeedsGram => Resolve() is { Compensate: true };

    /// <summary>These options with everything set: what is null comes from the recipe. Resolving twice changes nothing.</summary>
    /// <returns>Options whose nullable members are all set and fit each other.</returns>
    /// <exception cref="ArgumentException">An option has a value that is not allowed, or two contradict each other. The message names option, value and what is allowed.</exception>
    public QuantizationOptions Resolve()
    {
        QuantizationOptions preset = Recipe switch
        {
            QuantizationRecipe.LongCat => new() { GroupSize = 128, Scaling = WeightScaling.TwoLevel, Activations = ActivationScheme.Dynamic, Clipping = WeightClipping.Grid, Compensate = true, Equalize = false },
            QuantizationRecipe.RoundToNearest => new() { GroupSize = 128, Scaling = WeightScaling.TwoLevel, Activations = ActivationScheme.Dynamic, Clipping = WeightClipping.None, Compensate = false, Equalize = false },
            QuantizationRecipe.Fptq => new() { GroupSize = 128, Scaling = WeightScaling.TwoLevel, Activations = ActivationScheme.PerLayer, Clipping = WeightClipping.None, Compensate = false, Equalize = true },
            QuantizationRecipe.Odyssey => new() { GroupSize = 0, Scaling = WeightScaling.PerChannel, Activations = ActivationScheme.Dynamic, Clipping = WeightClipping.Learned, Compensate = true, Equalize = false },
            QuantizationRecipe.IntegerScale => new() { GroupSize = 128, Scaling = WeightScaling.IntegerScale, Activations = ActivationScheme.Dynamic, Clipping = WeightClipping.None, Compensate = false, Equalize = false },
            _ => throw Wrong(nameof(Recipe), Recipe, "one of " + string.Join(", ", Enum.GetNames<QuantizationRecipe>())),
        };

        // A group size of 0 and per-channel scales say the same thing: either one brings the other along.
        WeightScaling scaling = Scaling ?? (GroupSize == 0 ? WeightScaling.PerChannel : GroupSize is not null && preset.Scaling == WeightScaling.PerChannel ? WeightScaling.TwoLevel : preset.Scaling!.Value);
        int group = GroupSize ?? (scaling == WeightScaling.PerChannel ? 0 : preset.GroupSize is > 0 ? preset.GroupSize.Value : 128);
        QuantizationOptions resolved = this with
        {
            GroupSize = group,
            Scaling = scaling,
            Amplifier = Amplifier ?? 1024,
            Activations = Activations ?? preset.Activations,
            Clipping = Clipping ?? preset.Clipping,
            Compensate = Compensate ?? preset.Compensate,
            Equalize = Equalize ?? preset.Equalize,
        };
        resolved.Check();
        return resolved;
    }

    private void Check()
    {
        Defined(nameof(Scaling), Scaling!.Value);
        Defined(nameof(Activations), Activations!.Value);
        Defined(nameof(Clipping), Clipping!.Value);
        Defined(nameof(Head), Head);
        Defined(nameof(NGramTables), NGramTables);
        if (GroupSize is not (0 or >= 32 and <= 256) || GroupSize % 32 != 0)
        {
            throw Wrong(nameof(GroupSize), GroupSize!, "a multiple of 32 in 32..256, or 0 for one scale per channel");
        }

        if (GroupSize == 0 != (Scaling == WeightScaling.PerChannel))
        {
            throw Wrong(nameof(GroupSize), GroupSize!, Scaling == WeightScaling.PerChannel
                ? $"0 (or nothing) with {nameof(Scaling)} {Scaling}"
                : $"a multiple of 32 in 32..256 with {nameof(Scaling)} {Scaling}; 0 goes with {nameof(WeightScaling.PerChannel)}");
        }

        if (Amplifier is not (>= 0 and <= MostAmplifier))
        {
            throw Wrong(nameof(Amplifier), Amplifier!, $"1..{MostAmplifier}, or 0 to search one for each matrix");
        }

        if (!double.IsFinite(StaticThreshold) || StaticThreshold < 0)
        {
            throw Wrong(nameof(StaticThreshold), StaticThreshold, "a number of at least 0");
        }

        if (!double.IsFinite(DynamicThreshold) || DynamicThreshold < StaticThreshold)
        {
            throw Wrong(nameof(DynamicThreshold), DynamicThreshold, string.Create(CultureInfo.InvariantCulture, $"a number of at least {nameof(StaticThreshold)}, {StaticThreshold}"));
        }
    }

    private static void Defined<T>(string option, T value) where T : struct, Enum
    {
        if (!Enum.IsDefined(value))
        {
            throw Wrong(option, value, "one of " + string.Join(", ", Enum.GetNames<T>()));
        }
    }

    private static ArgumentException Wrong(string option, object value, string expected) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{option} is {value}, expected {expected}"), option);
}
