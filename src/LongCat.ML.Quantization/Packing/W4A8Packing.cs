using System.Buffers.Binary;
using System.Globalization;

namespace LongCat.ML.Quantization;

/// <summary>
/// The layout (version 1) in which the operator W4A8MatMul reads 4-bit weights: panels of 64 outputs, each contiguous. The last panel is filled up
/// with level 0.
/// <code>
/// panel:  group 0 | group 1 | …
/// group:  step 0 | step 1 | … | group scales of the 64 outputs     8 inputs per step; the last step is filled up with level 0
/// step:   64 lanes of 4 bytes, one per output
/// lane:   byte j = (q[k+j] + 8) | (q[k+4+j] + 8) &lt;&lt; 4,  j = 0..3
/// </code>
/// </summary>
public static class W4A8Packing
{
    /// <summary>Version of the layout, the operator's attribute <c>layout</c>.</summary>
    public const int LayoutVersion = 1;

    private const int PanelColumns = 64, StepDepth = 8, StepBytes = 256;

    /// <summary>Bytes of one panel.</summary>
    /// <param name="k">Inputs.</param>
    /// <param name="group">Inputs that share a group scale, a multiple of 8; 0: none.</param>
    /// <param name="scaleBytes">Bytes of a group scale: 1 or 2, 0 without groups.</param>
    /// <returns>Bytes.</returns>
    public static long PanelBytes(int k, int group, int scaleBytes) =>
        (((long)k + StepDepth - 1) / StepDepth * StepBytes) + (Groups(k, group) * scaleBytes * PanelColumns);

    /// <summary>Panels of a matrix.</summary>
    /// <param name="n">Outputs.</param>
    /// <returns>ceil(n / 64).</returns>
    public static int Panels(int n) => (int)(((long)n + PanelColumns - 1) / PanelColumns);

    /// <summary>Bytes of a packed matrix.</summary>
    /// <param name="n">Outputs.</param>
    /// <param name="k">Inputs.</param>
    /// <param name="group">Inputs that share a group scale, a multiple of 8; 0: none.</param>
    /// <param name="scaleBytes">Bytes of a group scale: 1 or 2, 0 without groups.</param>
    /// <returns>Bytes.</returns>
    public static long PackedBytes(int n, int k, int group, int scaleBytes) => Panels(n) * PanelBytes(k, group, scaleBytes);

    /// <summary>Writes a matrix panel by panel; memory is one panel.</summary>
    /// <param name="matrix">The matrix.</param>
    /// <param name="stream">Where <see cref="PackedBytes"/> bytes go.</param>
    /// <exception cref="QuantizationException">The kernel's 32-bit sums could overflow.</exception>
    public static void Pack(QuantizedMatrix matrix, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        ArgumentNullException.ThrowIfNull(stream);
        CheckBound(matrix.Report.Name, matrix.InFeatures, matrix.GroupSize, matrix.GroupScales, matrix.OutFeatures);
        int k = matrix.InFeatures, group = matrix.GroupSize == 0 ? k : matrix.GroupSize, groups = Groups(k, matrix.GroupSize), scaleBytes = matrix.GroupScaleBytes;
        byte[] panel = new byte[PanelBytes(k, matrix.GroupSize, scaleBytes)];
        for (int first = 0; first < matrix.OutFeatures; first += PanelColumns)
        {
            int columns = Math.Min(PanelColumns, matrix.OutFeatures - first);
            Array.Fill(panel, (byte)0x88);  // level 0 twice
            Span<byte> at = panel;
            for (int g = 0; g < groups; g++)
            {
                int start = g * group, length = Math.Min(group, k - start), steps = (length + StepDepth - 1) / StepDepth;
                for (int column = 0; column < columns; column++)
                {
                    ReadOnlySpan<sbyte> levels = matrix.Levels.AsSpan(checked((int)(((long)(first + column) * k) + start)), length);
                    PackLane(levels, at[(column * 4)..]);
                }

                at = at[(steps * StepBytes)..];
                Span<byte> scales = at[..(scaleBytes * PanelColumns)];
                scales.Clear();
                for (int column = 0; column < columns && scaleBytes > 0; column++)
                {
                    short scale = matrix.GroupScales![((first + column) * groups) + g];
                    if (scaleBytes == 2)
                    {
                        BinaryPrimitives.WriteInt16LittleEndian(scales[(column * 2)..], scale);
                    }
                    else
                    {
                        scales[column] = (byte)scale;
                    }
                }

                at = at[scales.Length..];
            }

            stream.Write(panel);
        }
    }

    /// <summary>The largest magnitude that the kernel's sums can reach: 127 · 8 · Σ |group| · |group scale|, of the worst output. It must stay below 2^31.</summary>
    /// <param name="n">Outputs.</param>
    /// <param name="k">Inputs.</param>
    /// <param name="group">Inputs that share a group scale; 0: none.</param>
    /// <param name="groupScales">[N, groups], null without groups.</param>
    /// <returns>The bound.</returns>
    public static long Bound(int n, int k, int group, ReadOnlySpan<short> groupScales)
    {
        if (group == 0)
        {
            return 1016L * k;
        }

        int groups = Groups(k, group);
        QuantizedMatrix.Length(nameof(groupScales), groupScales.Length, (long)n * groups);
        long most = 0;
        for (int row = 0; row < n; row++)
        {
            most = Math.Max(most, RowBound(k, group, groupScales.Slice(row * groups, groups)));
        }

        return most;
    }

    internal static long RowBound(int k, int group, ReadOnlySpan<short> groupScales)
    {
        long sum = 0;
        for (int g = 0; g < groupScales.Length; g++)
        {
            sum += (long)Math.Min(group, k - (g * group)) * Math.Abs((int)groupScales[g]);
        }

        return 1016 * sum;
    }

    internal static long CheckBound(string name, int k, int group, short[]? groupScales, int n)
    {
        long bound = Bound(n, k, group, groupScales);
        if (bound > int.MaxValue)
        {
            throw new QuantizationException(name, string.Create(CultureInfo.InvariantCulture,
                $"with {k} inputs and group scales up to {(groupScales is null ? 1 : groupScales.Max(scale => Math.Abs((int)scale)))} the kernel's sums could reach 127 · 8 · Σ |group| · scale = {bound}, beyond 2^31 - 1 = {int.MaxValue}; ") +
                $"use a smaller {nameof(QuantizationOptions.Amplifier)} (or 0 to search one), or the scaling {nameof(WeightScaling.TwoLevel)}");
        }

        return bound;
    }

    internal static int Groups(int k, int group) => group == 0 ? 1 : (int)(((long)k + group - 1) / group);

    private static void PackLane(ReadOnlySpan<sbyte> levels, Span<byte> lane)
    {
        int full = levels.Length / StepDepth, at = 0;
        for (int step = 0; step < full; step++, at += StepBytes)
        {
            // Eight levels in two words of four bytes; + 8 in every byte (no carry leaves a byte: the sums are 0..15).
            ReadOnlySpan<byte> eight = System.Runtime.InteropServices.MemoryMarshal.AsBytes(levels.Slice(step * StepDepth, StepDepth));
            uint low = Nibbles(BinaryPrimitives.ReadUInt32LittleEndian(eight)), high = Nibbles(BinaryPrimitives.ReadUInt32LittleEndian(eight[4..]));
            BinaryPrimitives.WriteUInt32LittleEndian(lane[at..], low | (high << 4));
        }

        for (int i = full * StepDepth; i < levels.Length; i++)
        {
            int within = i % StepDepth, shift = within < 4 ? 0 : 4;
            ref byte target = ref lane[at + (within % 4)];
            target = (byte)((target & ~(15 << shift)) | ((levels[i] + 8) << shift));
        }

        static uint Nibbles(uint four) => (four ^ 0x08080808u) & 0x0F0F0F0Fu;
    }
}
