using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>4-bit weights in panels (LongCat.ML.Quantization says how): uint8 [panels, panel bytes], of a stack [E, panels, panel bytes].</summary>
internal sealed class W4A8Tensor(string key, IReadOnlyList<W4A8Projection> parts, bool stacked)
    : TensorSource(key, ElementType.Uint8, [.. stacked ? [parts.Count] : Array.Empty<long>(), parts[0].Panels, parts[0].PanelBytes])
{
    public override void CopyTo(Stream destination)
    {
        foreach (W4A8Projection part in parts)
        {
            part.Pack(destination);
        }
    }
}

/// <summary>The scales of 4-bit weights, float [N], of a stack [E, N]. They are written after the panels, from the same quantization.</summary>
internal sealed class W4A8Scales(string key, IReadOnlyList<W4A8Projection> parts, bool stacked)
    : TensorSource(key, ElementType.Float, [.. stacked ? [parts.Count] : Array.Empty<long>(), parts[0].OutFeatures])
{
    public override void CopyTo(Stream destination)
    {
        foreach (W4A8Projection part in parts)
        {
            part.CopyScales(destination);
        }
    }
}
