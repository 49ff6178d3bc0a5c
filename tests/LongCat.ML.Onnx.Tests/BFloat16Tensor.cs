using System.Runtime.InteropServices;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>A bfloat16 tensor from its bits.</summary>
internal sealed class BFloat16Tensor(string key, ushort[] bits, params long[] shape) : TensorSource(key, ElementType.Bfloat16, shape)
{
    public override void CopyTo(Stream destination) => destination.Write(MemoryMarshal.AsBytes<ushort>(bits));
}
