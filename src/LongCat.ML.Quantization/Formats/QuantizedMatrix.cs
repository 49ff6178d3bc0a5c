namespace LongCat.ML.Quantization;

/// <summary>
/// A matrix in 4 bits: w[n, k] ≈ <see cref="Scales"/>[n] · <see cref="GroupScales"/>[n, k / group] · <see cref="Levels"/>[n, k].
/// Immutable by convention: the arrays are not copied.
/// </summary>
public sealed class QuantizedMatrix
{
    /// <summary>Creates a matrix from its parts.</summary>
    /// <param name="outFeatures">N.</param>
    /// <param name="inFeatures">K.</param>
    /// <param name="groupSize">Inputs that share a group scale, a multiple of 8; 0: none, one scale per channel.</param>
    /// <param name="groupScaleBytes">1 or 2 with groups, 0 without.</param>
    /// <param name="levels">[N, K], -8..7.</param>
    /// <param name="groupScales">[N, ceil(K / group)], null without groups.</param>
    /// <param name="scales">[N].</param>
    /// <param name="activationScale">The static scale of the inputs; 0: dynamic.</param>
    /// <param name="report">What is reported of the matrix.</param>
    /// <exception cref="ArgumentException">A size, a length or a value that does not fit; the message names it.</exception>
    public QuantizedMatrix(int outFeatures, int inFeatures, int groupSize, int groupScaleBytes, sbyte[] levels, short[]? groupScales, float[] scales,
        float activationScale, MatrixReport report)
    {
        ArgumentNullException.ThrowIfNull(levels);
        ArgumentNullException.ThrowIfNull(scales);
        ArgumentNullException.ThrowIfNull(report);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(outFeatures);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inFeatures);
        Expect(groupSize >= 0 && groupSize % 8 == 0, nameof(groupSize), groupSize, "a multiple of 8, or 0");
        Expect(groupSize == 0 ? groupScaleBytes == 0 : groupScaleBytes is 1 or 2, nameof(groupScaleBytes), groupScaleBytes, groupSize == 0 ? "0 without groups" : "1 or 2 with groups");
        Expect(float.IsFinite(activationScale) && activationScale >= 0, nameof(activationScale), activationScale, "a positive number, or 0");
        Length(nameof(levels), levels.Length, (long)outFeatures * inFeatures);
        Length(nameof(scales), scales.Length, outFeatures);
        Expect(levels.AsSpan().IndexOfAnyExceptInRange<sbyte>(-8, 7) is var bad && bad < 0, nameof(levels), bad < 0 ? 0 : levels[bad], "levels of -8..7");
        if (groupSize == 0)
        {
            Expect(groupScales is null, nameof(groupScales), "an array", "null without groups");
        }
        else
        {
            ArgumentNullException.ThrowIfNull(groupScales);
            Length(nameof(groupScales), groupScales.Length, outFeatures * ((inFeatures + (long)groupSize - 1) / groupSize));
            if (groupScaleBytes == 1)
            {
                int over = groupScales.AsSpan().IndexOfAnyExceptInRange<short>(-128, 127);
                Expect(over < 0, nameof(groupScales), over < 0 ? 0 : groupScales[over], "-128..127 in one byte");
            }
        }

        OutFeatures = outFeatures;
        InFeatures = inFeatures;
        GroupSize = groupSize;
        GroupScaleBytes = groupScaleBytes;
        Levels = levels;
        GroupScales = groupScales;
        Scales = scales;
        ActivationScale = activationScale;
        Report = report;
    }

    /// <summary>N, the outputs.</summary>
    public int OutFeatures { get; }

    /// <summary>K, the inputs.</summary>
    public int InFeatures { get; }

    /// <summary>Inputs that share a group scale; 0: none, one scale per channel. The last group may be shorter.</summary>
    public int GroupSize { get; }

    /// <summary>Bytes of a packed group scale: 1, 2, or 0 without groups.</summary>
    public int GroupScaleBytes { get; }

    /// <summary>[N, K], -8..7.</summary>
    public sbyte[] Levels { get; }

    /// <summary>[N, groups]: small integers, negative where the group is mirrored, so that level -8 stands for its largest weights; null without groups.</summary>
    public short[]? GroupScales { get; }

    /// <summary>[N]: negative only without groups, where the row is mirrored; 0 for a row of zeros.</summary>
    public float[] Scales { get; }

    /// <summary>The static scale of the inputs; 0: dynamic.</summary>
    public float ActivationScale { get; }

    /// <summary>How the matrix was quantized and how well.</summary>
    public MatrixReport Report { get; }

    /// <summary>The weights that the levels stand for.</summary>
    /// <returns>[N, K].</returns>
    public float[] Dequantize()
    {
        float[] weights = new float[Levels.Length];
        int group = GroupSize == 0 ? InFeatures : GroupSize, groups = (InFeatures + group - 1) / group;
        for (int n = 0; n < OutFeatures; n++)
        {
            for (int g = 0; g < groups; g++)
            {
                float step = Scales[n] * (GroupScales is null ? 1 : GroupScales[(n * groups) + g]);
                for (int k = g * group; k < Math.Min(InFeatures, (g + 1) * group); k++)
                {
                    weights[((long)n * InFeatures) + k] = step * Levels[((long)n * InFeatures) + k];
                }
            }
        }

        return weights;
    }

    internal static void Expect(bool condition, string name, object value, string expected)
    {
        if (!condition)
        {
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value}, expected {expected}"), name);
        }
    }

    internal static void Length(string name, long length, long expected) => Expect(length == expected, name, $"{length} long", $"{expected}");
}
