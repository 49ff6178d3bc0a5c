using System.Globalization;
using System.Runtime.InteropServices;

namespace LongCat.ML.Inference.Sessions;

/// <summary>Anonymous memory that the system is asked to give in pages of 2 MiB (Linux, transparent huge pages). Given back when disposed.</summary>
internal sealed unsafe partial class HugePages : IDisposable
{
    public const int PageBytes = 2 << 20;
    private const string Settings = "/sys/kernel/mm/transparent_hugepage/enabled";
    private const int ReadWrite = 1 | 2, PrivateAnonymous = 2 | 0x20, AdviceHugePage = 14;
    private const long Failed = -1;
    private readonly long _mapped;
    private nint _mapping;

    private HugePages(nint mapping, long mapped, long bytes)
    {
        _mapping = mapping;
        _mapped = mapped;
        Bytes = bytes;
        Pointer = (nint)(((nuint)mapping + PageBytes - 1) & ~(nuint)(PageBytes - 1));
    }

    /// <summary>The first byte, at the beginning of a page of 2 MiB.</summary>
    public nint Pointer { get; }

    /// <summary>The bytes that were asked for, rounded up to whole pages.</summary>
    public long Bytes { get; }

    /// <summary>Reserves the memory; the system gives pages as they are first written.</summary>
    /// <param name="bytes">How much, more than 0.</param>
    /// <param name="reason">Why there is none.</param>
    /// <returns>Null where the system has no such pages or not enough memory.</returns>
    public static HugePages? TryAllocate(long bytes, out string reason)
    {
        reason = "";
        if (!OperatingSystem.IsLinux())
        {
            reason = "pages of 2 MiB on request are there on Linux only";
            return null;
        }

        string? setting = ReadSetting();
        if (setting is null or "never")
        {
            reason = setting is null
                ? $"the system has no transparent huge pages ({Settings} is not there)"
                : $"transparent huge pages are switched off: write 'madvise' to {Settings} as root";
            return null;
        }

        bytes = (bytes + PageBytes - 1) / PageBytes * PageBytes;
        long available = AvailableBytes();
        if (bytes > available)
        {
            reason = $"a copy of the weights takes {bytes:N0} bytes and {available:N0} bytes of memory are available";
            return null;
        }

        long mapped = bytes + PageBytes;
        nint mapping = Map(0, (nuint)mapped, ReadWrite, PrivateAnonymous, -1, 0);
        if (mapping == Failed)
        {
            reason = $"the system refused {mapped:N0} bytes of memory (mmap: {Marshal.GetLastPInvokeErrorMessage()})";
            return null;
        }

        HugePages pages = new(mapping, mapped, bytes);
        if (Advise(pages.Pointer, (nuint)bytes, AdviceHugePage) != 0)
        {
            reason = $"the system refused pages of 2 MiB (madvise: {Marshal.GetLastPInvokeErrorMessage()})";
            pages.Dispose();
            return null;
        }

        return pages;
    }

    /// <summary>How much of the memory really lies in pages of 2 MiB by now; null where the system does not say.</summary>
    public long? CountHugeBytes()
    {
        try
        {
            bool inside = false;
            foreach (string line in File.ReadLines("/proc/self/smaps"))
            {
                // A mapping's first line begins with its addresses in hexadecimal digits, all others with a name and a colon.
                int dash = line.IndexOf('-', StringComparison.Ordinal);
                if (dash > 0 && TryAddress(line.AsSpan(0, dash), out long first))
                {
                    int space = line.IndexOf(' ', dash);
                    inside = space > 0 && TryAddress(line.AsSpan(dash + 1, space - dash - 1), out long end) && first <= Pointer && Pointer < end;
                }
                else if (inside && line.StartsWith("AnonHugePages:", StringComparison.Ordinal))
                {
                    string number = line["AnonHugePages:".Length..].Replace("kB", "", StringComparison.Ordinal).Trim();
                    return long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long kilobytes) ? Math.Min(kilobytes << 10, Bytes) : null;
                }
            }

            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public void Dispose()
    {
        nint mapping = Interlocked.Exchange(ref _mapping, 0);
        if (mapping != 0)
        {
            _ = Unmap(mapping, (nuint)_mapped);
        }
    }

    private static bool TryAddress(ReadOnlySpan<char> text, out long address) =>
        long.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out address);

    /// <summary>The word in brackets: always, madvise or never.</summary>
    private static string? ReadSetting()
    {
        try
        {
            string text = File.ReadAllText(Settings);
            int open = text.IndexOf('[', StringComparison.Ordinal), close = text.IndexOf(']', StringComparison.Ordinal);
            return open >= 0 && close > open ? text[(open + 1)..close] : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>What the system can give without taking it from other programs; at most what the process may have.</summary>
    private static long AvailableBytes()
    {
        long limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        foreach (string line in File.ReadLines("/proc/meminfo"))
        {
            if (line.StartsWith("MemAvailable:", StringComparison.Ordinal)
                && long.TryParse(line["MemAvailable:".Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long kilobytes))
            {
                return Math.Min(limit > 0 ? limit : long.MaxValue, kilobytes << 10);
            }
        }

        return limit > 0 ? limit : long.MaxValue;
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Map(nint address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static partial int Unmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    private static partial int Advise(nint address, nuint length, int advice);
}
