using System.Runtime.InteropServices;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>A small float32 tensor that the exporter computes, such as the rotary frequencies.</summary>
internal sealed class ComputedTensor(string key, float[] values, params long[] shape) : TensorSource(key, ElementType.Float, shape)
{
    public override void CopyTo(Stream destination) => destination.Write(MemoryMarshal.AsBytes<float>(values));
}
