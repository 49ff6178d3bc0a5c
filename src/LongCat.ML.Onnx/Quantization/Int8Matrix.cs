using System.Runtime.InteropServices;
using LongCat.ML.Quantization;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>A matrix on its way to 8 bits, some rows at a time.</summary>
internal sealed class Int8Matrix(string name, CheckpointWeights weights, MatrixQuantizer quantizer, CancellationToken cancellationToken)
{
    /// <summary>Elements that are quantized at once: 20 MiB in floats and levels.</summary>
    private const int BlockElements = 4 << 20;

    /// <summary>Outputs of a panel: blocks that follow each other are made of whole ones.</summary>
    private const int PanelRows = 64;

    private float[]? _scales;

    public string Name { get; } = name;

    public int Rows { get; } = weights.RowCount(name);

    public int Columns { get; } = weights.Columns(name);

    /// <summary>Quantizes all rows in order; the scales are kept for <see cref="CopyScales"/>.</summary>
    public void ForEachBlock(Action<QuantizedInt8Matrix> write)
    {
        int block = Math.Max(1, BlockElements / Columns / PanelRows) * PanelRows;
        float[] scales = new float[Rows];
        float[] values = [];
        for (int first = 0; first < Rows; first += block)
        {
            int count = Math.Min(block, Rows - first);
            values = values.Length == count * Columns ? values : new float[count * Columns];
            weights.ReadFloat32(Name, (long)first * Columns, values);
            QuantizedInt8Matrix matrix = quantizer.QuantizeInt8(Name, values, count, Columns, first, cancellationToken);
            matrix.Scales.CopyTo(scales, first);
            write(matrix);
        }

        _scales = scales;
    }

    /// <summary>Writes the scales of the quantization before.</summary>
    public void CopyScales(Stream destination)
    {
        destination.Write(MemoryMarshal.AsBytes<float>(_scales ?? throw new InvalidOperationException($"the scales of {Name} are written before its levels")));
        _scales = null;
    }
}

/// <summary>8-bit weights in panels: uint8 [ceil(N / 64), ceil(K / 4), 64, 4].</summary>
internal sealed class Int8Panels(Int8Matrix matrix)
    : TensorSource($"{matrix.Name}:int8", ElementType.Uint8, [(matrix.Rows + 63) / 64, (matrix.Columns + 3) / 4, 64, 4])
{
    public override void CopyTo(Stream destination) => matrix.ForEachBlock(block => Int8Packing.Pack(block, destination));
}

/// <summary>The scales of <see cref="Int8Panels"/>, float [N], written after them.</summary>
internal sealed class Int8Scales(Int8Matrix matrix) : TensorSource($"{matrix.Name}:int8.scale", ElementType.Float, [matrix.Rows])
{
    public override void CopyTo(Stream destination) => matrix.CopyScales(destination);
}

/// <summary>A table of 8-bit rows, each with its float32 scale behind it: uint8 [rows, width + 4].</summary>
internal sealed class Int8Table(Int8Matrix matrix) : TensorSource($"{matrix.Name}:int8.rows", ElementType.Uint8, [matrix.Rows, matrix.Columns + sizeof(float)])
{
    public override void CopyTo(Stream destination) => matrix.ForEachBlock(block => Int8Packing.PackTable(block, destination));
}
