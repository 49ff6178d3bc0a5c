using System.Globalization;

namespace LongCat.ML.Quantization;

/// <summary>How the inputs of one layer get their scale, and why.</summary>
/// <param name="Scale">The static scale; 0 for a dynamic one.</param>
/// <param name="Branch">The rule's branch in words.</param>
internal readonly record struct ActivationPlan(float Scale, string Branch)
{
    public static ActivationPlan Choose(QuantizationOptions options, SiteStatistics? statistics)
    {
        if (options.Activations == ActivationScheme.Dynamic)
        {
            return new(0, "dynamic");
        }

        if (statistics is null || statistics.MaxAbs <= 0)
        {
            return new(0, "dynamic: no calibration row reached the layer");
        }

        float largest = statistics.MaxAbs;
        if (options.Activations == ActivationScheme.PerLayer && largest >= options.DynamicThreshold)
        {
            return new(0, string.Create(CultureInfo.InvariantCulture, $"dynamic: {largest:G4} >= {options.DynamicThreshold}"));
        }

        return new(largest / 127, string.Create(CultureInfo.InvariantCulture, $"static: {largest:G4}"));
    }
}
