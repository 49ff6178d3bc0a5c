using System.Runtime.InteropServices;

namespace LongCat.ML.Checkpoints;

/// <summary>Reads elements out of mapped memory: range checks, then the conversion that the element type calls for.</summary>
internal static unsafe class TensorElements
{
    /// <summary>The element count as an array length; refuses tensors that no array holds.</summary>
    public static int ArrayLength(TensorEntry entry) => entry.ElementCount <= Array.MaxLength
        ? (int)entry.ElementCount
        : throw new CheckpointException(entry.File, entry.Name,
            $"{entry.ElementCount} elements, expected at most {Array.MaxLength} for one array; read it in pieces");

    public static void CheckRange(TensorEntry entry, long firstElement, int count, string parameter)
    {
        if (firstElement < 0 || firstElement > entry.ElementCount - count)
        {
            throw new ArgumentException(
                $"elements {firstElement} to {firstElement + count} of tensor {entry}, expected a range within its {entry.ElementCount} elements",
                parameter);
        }
    }

    /// <summary>Widens elements from <paramref name="firstElement"/> on to float32. The range must have been checked.</summary>
    public static void Widen(TensorEntry entry, byte* address, long firstElement, Span<float> destination)
    {
        int size = entry.Type.ElementSize();
        byte* from = address + (firstElement * size);
        switch (entry.Type)
        {
            case TensorType.Float32:
                new ReadOnlySpan<byte>(from, checked(destination.Length * size)).CopyTo(MemoryMarshal.AsBytes(destination));
                break;
            case TensorType.BFloat16:
                TensorConversion.WidenBFloat16(new ReadOnlySpan<ushort>(from, destination.Length), destination);
                break;
            case TensorType.Float16:
                TensorConversion.WidenFloat16(new ReadOnlySpan<Half>(from, destination.Length), destination);
                break;
            case TensorType.Float64:
                TensorConversion.NarrowFloat64(new ReadOnlySpan<double>(from, destination.Length), destination);
                break;
            case TensorType.Float8E4M3:
                TensorConversion.WidenFloat8(new ReadOnlySpan<byte>(from, destination.Length), TensorConversion.Float8E4M3Values, destination);
                break;
            case TensorType.Float8E5M2:
                TensorConversion.WidenFloat8(new ReadOnlySpan<byte>(from, destination.Length), TensorConversion.Float8E5M2Values, destination);
                break;
            default:
                throw new CheckpointException(entry.File, entry.Name,
                    $"its type is {entry.Type.SafetensorsName()}, expected a floating-point type (F32, BF16, F16, F64, F8_E4M3, F8_E5M2)");
        }
    }

    /// <summary>Widens all elements to int64.</summary>
    public static void WidenIntegers(TensorEntry entry, byte* address, Span<long> destination)
    {
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = entry.Type switch
            {
                TensorType.Int64 => ((long*)address)[i],
                TensorType.Int32 => ((int*)address)[i],
                TensorType.Int16 => ((short*)address)[i],
                TensorType.Int8 => ((sbyte*)address)[i],
                TensorType.UInt8 => address[i],
                TensorType.UInt16 => ((ushort*)address)[i],
                TensorType.UInt32 => ((uint*)address)[i],
                TensorType.UInt64 => CheckedSigned(entry, ((ulong*)address)[i]),
                TensorType.Bool => address[i] == 0 ? 0 : 1,
                _ => throw new CheckpointException(entry.File, entry.Name,
                    $"its type is {entry.Type.SafetensorsName()}, expected an integer type or BOOL"),
            };
        }
    }

    private static long CheckedSigned(TensorEntry entry, ulong value) => value <= long.MaxValue
        ? (long)value
        : throw new CheckpointException(entry.File, entry.Name, $"holds {value}, expected at most 2^63-1");
}
