using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>
/// A weight matrix [N, K] in panels of <see cref="Outputs"/> outputs, the order in which longcat::MatMul multiplies fastest (docs/design.md
/// section 4): float32 [ceil(N/16), K, 16], bfloat16 [ceil(N/16), ceil(K/2), 16, 2], padded with zeros. Packed while it streams.
/// </summary>
internal sealed class PanelTensor : TensorSource
{
    /// <summary>Outputs of a panel.</summary>
    public const int Outputs = 16;

    private readonly TensorSource _rows;

    public PanelTensor(TensorSource rows)
        : base($"{rows.Key}:panels", rows.Type, PackedShape(rows))
    {
        _rows = rows;
        OutFeatures = rows.Shape[0];
    }

    /// <summary>N, which the padded shape leaves open.</summary>
    public long OutFeatures { get; }

    public override void CopyTo(Stream destination)
    {
        using PanelStream panels = new(destination, _rows.Shape[1], _rows.Type == ElementType.Float ? sizeof(float) : sizeof(ushort));
        _rows.CopyTo(panels);
        panels.Complete();
    }

    private static IReadOnlyList<long> PackedShape(TensorSource rows)
    {
        if (rows.Shape.Count != 2)
        {
            throw new ArgumentException($"{rows.Key} has shape [{string.Join(", ", rows.Shape)}], only a matrix is packed in panels", nameof(rows));
        }

        long panels = (rows.Shape[0] + Outputs - 1) / Outputs;
        return rows.Type switch
        {
            ElementType.Float => [panels, rows.Shape[1], Outputs],
            ElementType.Bfloat16 => [panels, (rows.Shape[1] + 1) / 2, Outputs, 2],
            _ => throw new ArgumentException($"{rows.Key} is {rows.Type}, only float32 and bfloat16 are packed in panels", nameof(rows)),
        };
    }
}
