using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;

namespace LongCat.ML.Quantization;

/// <summary>
/// The layouts of 8-bit weights. Panels (operators W8A8MatMul and Int8Embedding, version 1): byte [ceil(N / 64), ceil(K / 4), 64, 4] = level + 128, level 0
/// where N and K are filled up. Table rows (operator NGramEmbedding): the row's K levels, then its float32 scale, little endian.
/// </summary>
public static class Int8Packing
{
    /// <summary>Version of the panels' layout, the operators' attribute <c>layout</c>.</summary>
    public const int LayoutVersion = 1;

    private const int PanelColumns = 64, StepDepth = 4, StepBytes = 256;

    /// <summary>Bytes of a matrix in panels.</summary>
    /// <param name="n">Outputs.</param>
    /// <param name="k">Inputs.</param>
    /// <returns>Bytes.</returns>
    public static long PackedBytes(int n, int k) => ((long)n + PanelColumns - 1) / PanelColumns * (((long)k + StepDepth - 1) / StepDepth) * StepBytes;

    /// <summary>Writes a matrix panel by panel; memory is one panel. Rows that come in several matrices may follow each other when all but the last have a multiple of 64.</summary>
    /// <param name="matrix">The matrix.</param>
    /// <param name="stream">Where <see cref="PackedBytes"/> bytes go.</param>
    /// <exception cref="QuantizationException">The kernel's 32-bit sums could overflow: more than 133 144 inputs.</exception>
    public static void Pack(QuantizedInt8Matrix matrix, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        ArgumentNullException.ThrowIfNull(stream);
        int k = matrix.InFeatures, steps = (k + StepDepth - 1) / StepDepth;
        if (Bound(k) > int.MaxValue)
        {
            throw new QuantizationException("int8 matrix", string.Create(CultureInfo.InvariantCulture,
                $"with {k} inputs the kernel's sums could reach 127 · 127 · {k} = {Bound(k)}, beyond 2^31 - 1 = {int.MaxValue}; keep this matrix in its own precision"));
        }

        byte[] panel = new byte[steps * StepBytes];
        for (int first = 0; first < matrix.OutFeatures; first += PanelColumns)
        {
            Array.Fill(panel, (byte)128);
            int columns = Math.Min(PanelColumns, matrix.OutFeatures - first);
            for (int column = 0; column < columns; column++)
            {
                ReadOnlySpan<byte> levels = MemoryMarshal.AsBytes(matrix.Levels.AsSpan(checked((int)((long)(first + column) * k)), k));
                int at = column * 4;
                for (; levels.Length >= StepDepth; levels = levels[StepDepth..], at += StepBytes)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(panel.AsSpan(at), BinaryPrimitives.ReadUInt32LittleEndian(levels) ^ 0x80808080u);
                }

                for (int j = 0; j < levels.Length; j++)
                {
                    panel[at + j] = (byte)(levels[j] ^ 0x80);
                }
            }

            stream.Write(panel);
        }
    }

    /// <summary>Bytes of a table whose rows carry their scales.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Values of a row.</param>
    /// <returns>rows · (width + 4).</returns>
    public static long TableBytes(long rows, int width) => rows * (width + sizeof(float));

    /// <summary>Writes a table: each row's levels, then its float32 scale. Rows that come in several matrices may follow each other.</summary>
    /// <param name="table">The table.</param>
    /// <param name="stream">Where <see cref="TableBytes"/> bytes go.</param>
    public static void PackTable(QuantizedInt8Matrix table, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(stream);
        int width = table.InFeatures;
        byte[] row = new byte[width + sizeof(float)];
        for (int n = 0; n < table.OutFeatures; n++)
        {
            MemoryMarshal.AsBytes(table.Levels.AsSpan(checked((int)((long)n * width)), width)).CopyTo(row);
            BinaryPrimitives.WriteSingleLittleEndian(row.AsSpan(width), table.Scales[n]);
            stream.Write(row);
        }
    }

    /// <summary>The largest magnitude that a product of K int8 values can reach: 127 · 127 · K. It must stay below 2^31.</summary>
    /// <param name="k">Inputs.</param>
    /// <returns>The bound.</returns>
    public static long Bound(int k) => 127L * 127 * k;
}
