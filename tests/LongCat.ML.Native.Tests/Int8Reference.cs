namespace LongCat.ML.Native.Tests;

/// <summary>
/// Rows of 8-bit activations and their product with 4-bit weights, written out plainly: integers in 64 bits, floats in the order of the contract.
/// The operators must give the same bits.
/// </summary>
internal static class Int8Reference
{
    public sealed record Rows(sbyte[] Values, float[] Scales, int[] Sums);

    /// <summary>4-bit weights of a matrix [n, k] and their scales.</summary>
    public sealed record Weights(int OutFeatures, int InFeatures, int GroupSize, int GroupScaleBytes, sbyte[] Levels, short[]? GroupScales, float[] Scales)
    {
        public int Group => GroupSize == 0 ? InFeatures : GroupSize;

        public int Groups => (InFeatures + Group - 1) / Group;

        public static Weights Random(Random random, int n, int k, int groupSize, int groupScaleBytes)
        {
            int groups = groupSize == 0 ? 1 : (k + groupSize - 1) / groupSize;
            return new(
                n, k, groupSize, groupScaleBytes, [.. Enumerable.Range(0, n * k).Select(_ => (sbyte)random.Next(-8, 8))],
                groupScaleBytes == 0 ? null : [.. Enumerable.Range(0, n * groups).Select(_ => (short)((random.Next(2) == 0 ? 1 : -1) * random.Next(1, groupScaleBytes == 1 ? 128 : 3000)))],
                [.. Enumerable.Range(0, n).Select(_ => (random.NextSingle() - 0.5f) * 0.01f)]);
        }

        /// <summary>Layout 1: [panels, bytes of a panel], value by value.</summary>
        public Feed Pack()
        {
            int panels = (OutFeatures + 63) / 64, bytes = ((InFeatures + 7) / 8 * 256) + (Groups * GroupScaleBytes * 64);
            byte[] packed = new byte[panels * bytes];
            for (int panel = 0; panel < panels; panel++)
            {
                int at = panel * bytes;
                for (int g = 0; g < Groups; g++)
                {
                    int first = g * Group, length = Math.Min(Group, InFeatures - first);
                    for (int step = 0; step < (length + 7) / 8; step++, at += 256)
                    {
                        for (int column = 0; column < 64; column++)
                        {
                            for (int j = 0; j < 4; j++)
                            {
                                packed[at + (column * 4) + j] = (byte)(Level((step * 8) + j) | (Level((step * 8) + 4 + j) << 4));
                            }

                            int Level(int i) => i < length && (panel * 64) + column < OutFeatures
                                ? Levels[(((panel * 64) + column) * InFeatures) + first + i] + 8
                                : 8;
                        }
                    }

                    for (int column = 0; column < 64 && GroupScaleBytes > 0; column++, at += GroupScaleBytes)
                    {
                        int n = (panel * 64) + column, scale = n < OutFeatures ? GroupScales![(n * Groups) + g] : 0;
                        packed[at] = (byte)scale;
                        if (GroupScaleBytes == 2)
                        {
                            packed[at + 1] = (byte)(scale >> 8);
                        }
                    }
                }
            }

            return new Feed("B", packed, panels, bytes);
        }
    }

    public static Rows Quantize(float[] x, int k, int group, float staticScale = 0)
    {
        int m = k == 0 ? 0 : x.Length / k, groups = k == 0 ? 0 : (k + group - 1) / group;
        Rows rows = new(new sbyte[m * k], new float[m], new int[m * groups]);
        for (int row = 0; row < m; row++)
        {
            ReadOnlySpan<float> values = x.AsSpan(row * k, k);
            float largest = 0;
            bool finite = true;
            foreach (float value in values)
            {
                finite &= float.IsFinite(value);
                largest = MathF.Max(largest, MathF.Abs(value));
            }

            bool nothing = staticScale == 0 && largest < MathF.ScaleB(1, -110);
            float inverse = nothing ? 0 : staticScale > 0 ? 1 / staticScale : 127 / largest;
            rows.Scales[row] = !finite ? float.NaN : nothing ? 0 : staticScale > 0 ? staticScale : largest / 127;
            for (int i = 0; i < k && finite; i++)
            {
                sbyte a = (sbyte)Math.Clamp(MathF.Round(values[i] * inverse, MidpointRounding.ToEven), -127, 127);
                rows.Values[(row * k) + i] = a;
                rows.Sums[(row * groups) + (i / group)] += a;
            }
        }

        return rows;
    }

    public static float[] Multiply(Rows rows, Weights weights, float[]? bias = null, float[]? residual = null)
    {
        int m = rows.Scales.Length, n = weights.OutFeatures, k = weights.InFeatures;
        float[] y = new float[m * n];
        for (int row = 0; row < m; row++)
        {
            for (int column = 0; column < n; column++)
            {
                long total = 0;
                for (int i = 0; i < k; i++)
                {
                    long scale = weights.GroupScales is null ? 1 : weights.GroupScales[(column * weights.Groups) + (i / weights.Group)];
                    total += scale * rows.Values[(row * k) + i] * weights.Levels[(column * k) + i];
                }

                float value = (int)total * (rows.Scales[row] * weights.Scales[column]);
                value = bias is null ? value : value + bias[column];
                y[(row * n) + column] = residual is null ? value : value + residual[(row * n) + column];
            }
        }

        return y;
    }
}
