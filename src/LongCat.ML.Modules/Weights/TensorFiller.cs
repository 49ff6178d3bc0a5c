using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>Reads a checkpoint's tensor into a tensor's memory, widened to float32 or rounded to bfloat16, without a second copy.</summary>
internal static class TensorFiller
{
    public static unsafe void Fill(Checkpoint checkpoint, string name, Tensor target)
    {
        Span<byte> bytes = target.bytes;
        if (target.dtype == ScalarType.Float32)
        {
            checkpoint.ReadFloat32(name, MemoryMarshal.Cast<byte, float>(bytes));
            return;
        }

        fixed (byte* address = bytes)
        {
            using UnmanagedMemoryStream stream = new(address, bytes.Length, bytes.Length, FileAccess.Write);
            checkpoint.CopyTo(name, TensorType.BFloat16, stream);
        }
    }
}
