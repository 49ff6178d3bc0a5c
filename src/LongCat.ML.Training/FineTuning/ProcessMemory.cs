using System.Diagnostics;
using System.Globalization;

namespace LongCat.ML.Training.FineTuning;

/// <summary>How much memory the process holds.</summary>
internal static class ProcessMemory
{
    /// <summary>The most resident memory so far, in bytes; 0 where the system does not say.</summary>
    public static long Peak()
    {
        const string Status = "/proc/self/status";
        if (OperatingSystem.IsLinux() && File.Exists(Status))
        {
            string? line = File.ReadLines(Status).FirstOrDefault(l => l.StartsWith("VmHWM:", StringComparison.Ordinal));
            string[] parts = line?.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries) ?? [];
            return parts.Length > 1 && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out long kilobytes) ? kilobytes * 1024 : 0;
        }

        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
