using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Sessions;

/// <summary>Values of an int64 input in memory that does not move; it grows as needed.</summary>
internal sealed class PinnedInput
{
    private long[] _values = Allocate(64);

    public nint Pointer => Marshal.UnsafeAddrOfPinnedArrayElement(_values, 0);

    public long Bytes => (long)_values.Length * sizeof(long);

    /// <summary>The first <paramref name="count"/> values, to be written.</summary>
    public Span<long> Take(int count)
    {
        if (count > _values.Length)
        {
            _values = Allocate(Math.Max(count, 2 * _values.Length));
        }

        return _values.AsSpan(0, count);
    }

    private static long[] Allocate(int count) => GC.AllocateUninitializedArray<long>(count, pinned: true);
}
