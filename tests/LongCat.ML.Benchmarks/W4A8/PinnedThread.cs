using System.Runtime.InteropServices;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>Keeps the calling thread on one processor until it is disposed, on that thread; threads started meanwhile inherit it. Its own processor time is a better clock than the wall's.</summary>
internal sealed unsafe partial class PinnedThread : IDisposable
{
    private const int Words = 16;
    private readonly ulong[] before = new ulong[Words];

    public PinnedThread(int processor)
    {
        ulong[] mask = new ulong[Words];
        mask[processor / 64] = 1UL << (processor % 64);
        fixed (ulong* old = before, only = mask)
        {
            if (Get(0, Words * 8, old) != 0 || Set(0, Words * 8, only) != 0)
            {
                throw new InvalidOperationException($"the thread cannot be kept on processor {processor}");
            }
        }
    }

    /// <summary>Seconds that the calling thread has run so far.</summary>
    public static double ProcessorSeconds()
    {
        const int threadClock = 3;
        long* time = stackalloc long[2];
        return Clock(threadClock, time) == 0 ? time[0] + (time[1] * 1e-9) : throw new InvalidOperationException("the system has no clock of a thread");
    }

    public void Dispose()
    {
        fixed (ulong* old = before)
        {
            _ = Set(0, Words * 8, old);
        }
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int Get(int thread, nuint bytes, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int Set(int thread, nuint bytes, ulong* mask);

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int Clock(int clock, long* time);
}
