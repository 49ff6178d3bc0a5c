using LongCat.ML.Checkpoints;

namespace LongCat.ML.Training.ZigZag;

/// <summary>A longer context by YaRN (2309.00071), written into config.json together with the streaming attentions. Fine-tune afterwards: the weights know nothing of it yet.</summary>
public sealed record ContextExtension
{
    /// <summary>The longest sequence afterwards, in tokens: more than the model's now.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>YaRN's factor, 1 to 1,000,000; null for <see cref="MaxPositions"/> over <see cref="OriginalPositions"/>.</summary>
    public double? YarnFactor { get; init; }

    /// <summary>The context that the rotary frequencies were trained with; null for the config's own, or the model's longest sequence where it has no YaRN.</summary>
    public int? OriginalPositions { get; init; }

    /// <summary>The scaling that a model gets.</summary>
    /// <param name="config">The model's settings.</param>
    /// <returns>
    /// YaRN; what the model's own YaRN says of its ramp stays. LongCat's attentions get <c>mscale</c> and <c>mscale_all_dim</c> 1 as its published configs have them (the scale is then on the softmax); others
    /// the reference implementation's default, 0.1 · ln(factor) + 1 on cosine and sine.
    /// </returns>
    /// <exception cref="ArgumentException">A number is out of range, the context would not grow or not be covered by the factor, or the model's frequencies are scaled by another rule.</exception>
    public RopeScaling ScalingFor(ModelConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        RopeScaling? own = config.Rope.Scaling;
        if (own is not null && own.Type != RopeScalingType.Yarn)
        {
            throw new ArgumentException($"the model's rotary frequencies are scaled by {own.Type}, expected none or YaRN: the two rules do not add up", nameof(config));
        }

        Check(MaxPositions > config.MaxPositions, nameof(MaxPositions), MaxPositions, FormattableString.Invariant($"more than the model's longest sequence now, {config.MaxPositions}"));
        int original = OriginalPositions ?? own?.OriginalMaxPositions ?? config.MaxPositions;
        Check(original >= 1 && original <= MaxPositions, nameof(OriginalPositions), original, FormattableString.Invariant($"1 to {MaxPositions}"));
        double factor = YarnFactor ?? (double)MaxPositions / original;
        Check(factor is >= 1 and <= 1e6, nameof(YarnFactor), factor, "1 to 1,000,000");
        Check(MaxPositions <= Math.Ceiling(factor * original), nameof(MaxPositions), MaxPositions, FormattableString.Invariant($"at most {factor * original:0}, the factor {factor} times the original context {original}: raise the factor"));
        return own is not null
            ? own with { Factor = factor, OriginalMaxPositions = original, AttentionFactor = null }
            : new RopeScaling
            {
                Type = RopeScalingType.Yarn,
                Factor = factor,
                OriginalMaxPositions = original,
                MScale = config is LongcatFlashConfig ? 1 : null,
                MScaleAllDim = config is LongcatFlashConfig ? 1 : null,
            };

        static void Check(bool valid, string name, object value, string expected)
        {
            if (!valid)
            {
                throw new ArgumentException(FormattableString.Invariant($"{name} is {value}, expected {expected}"), name);
            }
        }
    }
}
