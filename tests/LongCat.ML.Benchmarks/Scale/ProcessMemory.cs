using System.Globalization;

namespace LongCat.ML.Benchmarks.Scale;

/// <summary>What the system says of this process's memory: anonymous pages are its own, pages of mapped files belong to the page cache and go when memory is short.</summary>
internal static class ProcessMemory
{
    /// <summary>Bytes of anonymous memory in RAM.</summary>
    public static long Private() => Field(File.ReadLines("/proc/self/status"), "RssAnon:");

    /// <summary>Bytes that this process changed or that are its alone and no file's: what it would leave free by ending.</summary>
    public static long PrivateDirty() => Field(File.ReadLines("/proc/self/smaps_rollup"), "Private_Dirty:");

    /// <summary>Bytes that were read from the disk for this process so far, read-ahead included.</summary>
    public static long DiskReads() => long.Parse(File.ReadLines("/proc/self/io").First(line => line.StartsWith("read_bytes:", StringComparison.Ordinal)).Split(' ')[1], CultureInfo.InvariantCulture);

    /// <summary>The mappings of a file: place in the file, length, and how much of it this process has touched (mapped pages), all in bytes.</summary>
    public static List<(long Offset, long Length, long Resident)> Mappings(string path)
    {
        List<(long Offset, long Length, long Resident)> found = [];
        bool inside = false;
        foreach (string line in File.ReadLines("/proc/self/smaps"))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length > 0 && words[0].Contains('-', StringComparison.Ordinal) && !words[0].EndsWith(':'))
            {
                inside = line.EndsWith(path, StringComparison.Ordinal);
                if (inside)
                {
                    long[] ends = [.. words[0].Split('-').Select(Hexadecimal)];
                    found.Add((Hexadecimal(words[2]), ends[1] - ends[0], 0));
                }
            }
            else if (inside && words[0] == "Rss:")
            {
                found[^1] = found[^1] with { Resident = long.Parse(words[1], CultureInfo.InvariantCulture) * 1024 };
            }
        }

        return found;
    }

    private static long Hexadecimal(string text) => long.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private static long Field(IEnumerable<string> lines, string name) =>
        long.Parse(lines.First(line => line.StartsWith(name, StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
}

/// <summary>Samples the private memory every few milliseconds until it is disposed.</summary>
internal sealed class PeakMemory : IDisposable
{
    private readonly ManualResetEventSlim stop = new();
    private readonly Thread sampler;
    private long peak;

    public PeakMemory()
    {
        sampler = new Thread(() =>
        {
            do
            {
                peak = Math.Max(peak, ProcessMemory.Private());
            }
            while (!stop.Wait(10));
        }) { IsBackground = true };
        sampler.Start();
    }

    public long Bytes => peak;

    public void Dispose()
    {
        stop.Set();
        sampler.Join();
        stop.Dispose();
    }
}
