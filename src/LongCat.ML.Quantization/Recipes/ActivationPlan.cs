using System.Globalization;

namespace LongCat.ML.Quantization;

/// <summary>How the inputs of one layer get their scale, and why.</summary>
/// <param name="Scale">The static scale; 0 for a dynamic one.</param>
/// <param name="Branch">The rule's branch in words.</param>
internal readonly record struct ActivationPlan(float Scale, string Branch)
{
    private const float Levels = 127;

    /// <summary>All matrices of a site get the same plan: they read the same 8-bit rows.</summary>
    public static ActivationPlan Choose(QuantizationOptions options, LinearSite site, SiteStatistics? statistics)
    {
        if (options.Activations == ActivationScheme.Dynamic)
        {
            return new(0, "dynamic");
        }

        if (site.Expert is not null)
        {
            return new(0, "dynamic: mixtures quantize their experts' rows token by token");
        }

        if (statistics is null || statistics.MaxAbs <= 0)
        {
            return new(0, "dynamic: no calibration row reached the layer");
        }

        float largest = statistics.MaxAbs;
        float before = statistics.UnequalizedMaxAbs ?? largest;
        string folded = statistics.UnequalizedMaxAbs is null ? "" : Text($", equalized to {largest:G4}");
        if (options.Activations == ActivationScheme.Static)
        {
            return new(largest / Levels, Text($"static: {before:G4}") + folded);
        }

        // FPTQ's rule (arXiv 2308.15987, section 3.2) on the input as the float model has it.
        if (before <= options.StaticThreshold)
        {
            return new(largest / Levels, Text($"static: {before:G4} <= v0 = {options.StaticThreshold}"));
        }

        if (before >= options.DynamicThreshold)
        {
            return new(0, Text($"dynamic: {before:G4} >= v1 = {options.DynamicThreshold}"));
        }

        return statistics.UnequalizedMaxAbs is null
            ? new(0, Text($"dynamic: {before:G4} is between v0 and v1, but there is no norm before it that could take the equalization up"))
            : new(largest / Levels, Text($"static: v0 < {before:G4} < v1") + folded);
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
