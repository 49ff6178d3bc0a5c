namespace LongCat.ML.Checkpoints;

/// <summary>The scales of one block-quantized F8_E4M3 weight: value = code × scale[row / BlockRows, column / BlockColumns].</summary>
internal sealed class BlockScales
{
    private readonly float[] scales;
    private readonly long columns;
    private readonly int blockRows;
    private readonly int blockColumns;
    private readonly long scaleColumns;

    private BlockScales(float[] scales, long columns, BlockQuantization quantization, long scaleColumns)
    {
        this.scales = scales;
        this.columns = columns;
        blockRows = quantization.BlockRows;
        blockColumns = quantization.BlockColumns;
        this.scaleColumns = scaleColumns;
    }

    /// <summary>The name of a tensor's scales.</summary>
    public static string NameFor(string tensor) => tensor + BlockQuantization.ScaleSuffix;

    /// <summary>What is wrong with the scales of a tensor; null when all is well or it needs none.</summary>
    public static string? Problem(Checkpoint checkpoint, TensorEntry entry)
    {
        if (entry.Type != TensorType.Float8E4M3)
        {
            return null;
        }

        string name = NameFor(entry.Name);
        if (!checkpoint.Tensors.TryGetValue(name, out TensorEntry? scale))
        {
            return checkpoint.Config.Quantization is null ? null : $"is F8_E4M3 and its block scales {name} are missing";
        }

        if (entry.Shape.Count != 2)
        {
            return $"has block scales and shape {TensorEntry.ShapeText(entry.Shape)}, expected a matrix";
        }

        BlockQuantization blocks = checkpoint.Config.Quantization ?? new BlockQuantization();
        long[] expected = [Ceiling(entry.Shape[0], blocks.BlockRows), Ceiling(entry.Shape[1], blocks.BlockColumns)];
        if (!scale.Type.IsFloatingPoint() || scale.Type is TensorType.Float8E4M3 or TensorType.Float8E5M2)
        {
            return $"has block scales {name} of type {scale.Type.SafetensorsName()}, expected F32";
        }

        return TensorEntry.SameShape(scale.Shape, expected)
            ? null
            : $"has block scales {name} of shape {TensorEntry.ShapeText(scale.Shape)}, expected {TensorEntry.ShapeText(expected)} "
                + $"({blocks.BlockRows}x{blocks.BlockColumns} blocks of {TensorEntry.ShapeText(entry.Shape)})";
    }

    /// <summary>The scales of a tensor; null where it has none.</summary>
    /// <exception cref="CheckpointException">Scales are missing or have the wrong shape.</exception>
    public static BlockScales? For(Checkpoint checkpoint, TensorEntry entry)
    {
        if (entry.Type != TensorType.Float8E4M3)
        {
            return null;
        }

        if (Problem(checkpoint, entry) is string problem)
        {
            throw new CheckpointException(entry.File, entry.Name, problem);
        }

        string name = NameFor(entry.Name);
        if (!checkpoint.Contains(name))
        {
            return null;
        }

        BlockQuantization blocks = checkpoint.Config.Quantization ?? new BlockQuantization();
        return new BlockScales(checkpoint.ReadFloat32(name), entry.Shape[1], blocks, Ceiling(entry.Shape[1], blocks.BlockColumns));
    }

    /// <summary>Multiplies consecutive elements, the first of which has the given row-major index, by their scales.</summary>
    public void Apply(long firstElement, Span<float> values)
    {
        int i = 0;
        while (i < values.Length)
        {
            (long row, long column) = Math.DivRem(firstElement + i, columns);
            long block = column / blockColumns;
            float scale = scales[(row / blockRows * scaleColumns) + block];

            // To the end of the block or of the row, whichever comes first.
            long run = Math.Min(Math.Min((block + 1) * blockColumns, columns) - column, values.Length - i);
            foreach (ref float value in values.Slice(i, (int)run))
            {
                value *= scale;
            }

            i += (int)run;
        }
    }

    private static long Ceiling(long value, int divisor) => (value / divisor) + (value % divisor == 0 ? 0 : 1);
}
