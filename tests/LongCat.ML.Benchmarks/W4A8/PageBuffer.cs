using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>Memory outside the managed heap, in pages of 2 MB where the system gives them.</summary>
internal sealed unsafe partial class PageBuffer : IDisposable
{
    private const nuint LargePage = 2 << 20;
    private const int AdviseHugePages = 14;

    public PageBuffer(long length)
    {
        Length = length;
        Bytes = (byte*)NativeMemory.AlignedAlloc((nuint)length, LargePage);
        if (OperatingSystem.IsLinux())
        {
            // Refused where the system has no such pages: small ones do then.
            _ = Advise(Bytes, (nuint)length, AdviseHugePages);
        }
    }

    public byte* Bytes { get; }

    public long Length { get; }

    /// <summary>Random bits everywhere.</summary>
    public PageBuffer Fill(ulong seed)
    {
        ulong state = (seed * 0x9E3779B97F4A7C15) + 1;
        ulong* words = (ulong*)Bytes;
        for (long i = 0; i < Length / 8; i++)
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            words[i] = state;
        }

        return this;
    }

    public void Dispose() => NativeMemory.AlignedFree(Bytes);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* address, nuint length, int advice);
}
