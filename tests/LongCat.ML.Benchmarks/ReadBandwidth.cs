using System.Diagnostics;
using System.Runtime.Intrinsics;

namespace LongCat.ML.Benchmarks;

/// <summary>How fast this machine reads memory: a plain sum over a buffer much larger than what the engine reads in a step.</summary>
internal sealed class ReadBandwidth
{
    private readonly ulong[] buffer;
    private ulong sink;

    public ReadBandwidth(bool quick)
    {
        buffer = GC.AllocateUninitializedArray<ulong>((quick ? 64 : 512) << 17);

        // Written, or every page would be the one page of zeros.
        for (int i = 0; i < buffer.Length; i++)
        {
            buffer[i] = (ulong)i;
        }
    }

    /// <summary>What a pass reads.</summary>
    public long Bytes => 8L * buffer.Length;

    /// <summary>One pass, shared by so many threads.</summary>
    /// <returns>Bytes per second.</returns>
    public double Measure(int threads)
    {
        int part = buffer.Length / threads / 32 * 32;
        using Barrier barrier = new(threads);
        long[] began = new long[threads], ended = new long[threads];
        Thread[] workers = [.. Enumerable.Range(0, threads).Select(t => new Thread(() =>
        {
            barrier.SignalAndWait();
            began[t] = Stopwatch.GetTimestamp();
            Interlocked.Add(ref sink, Sum(buffer.AsSpan(t * part, part)));
            ended[t] = Stopwatch.GetTimestamp();
        }))];
        Array.ForEach(workers, worker => worker.Start());
        Array.ForEach(workers, worker => worker.Join());
        return 8.0 * part * threads / Stopwatch.GetElapsedTime(began.Min(), ended.Max()).TotalSeconds;
    }

    /// <summary>Four sums side by side, so that the pass waits for memory and not for additions.</summary>
    private static ulong Sum(ReadOnlySpan<ulong> values)
    {
        Vector512<ulong> a = default, b = default, c = default, d = default;
        for (; values.Length >= 32; values = values[32..])
        {
            a += Vector512.Create(values);
            b += Vector512.Create(values[8..]);
            c += Vector512.Create(values[16..]);
            d += Vector512.Create(values[24..]);
        }

        return Vector512.Sum(a + b + c + d);
    }
}
