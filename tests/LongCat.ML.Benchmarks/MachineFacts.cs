using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Benchmarks;

/// <summary>What the figures depend on.</summary>
internal sealed record MachineFacts(string Cpu, int Cores, string LastLevelCache, string KernelPath, string Packages, string OnnxRuntime, string Runtime, string OperatingSystem)
{
    public static MachineFacts Read()
    {
        Dictionary<string, string> cpu = CpuInfo();
        string packages = typeof(MachineFacts).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(entry => entry.Key == "LongCatPackages").Value!;
        return new MachineFacts(
            cpu.GetValueOrDefault("model name", RuntimeInformation.ProcessArchitecture.ToString()), Environment.ProcessorCount, LargestCache(),
            KernelRule.Describe(RuntimeInformation.ProcessArchitecture, cpu.GetValueOrDefault("flags") ?? cpu.GetValueOrDefault("Features", ""), Environment.GetEnvironmentVariable("LONGCAT_KERNEL")), packages, OrtEnv.Instance().GetVersionString(), RuntimeInformation.FrameworkDescription, RuntimeInformation.OSDescription);
    }

    /// <summary>The fields of the first processor; empty where the system does not say.</summary>
    private static Dictionary<string, string> CpuInfo()
    {
        const string path = "/proc/cpuinfo";
        return !File.Exists(path) ? [] : File.ReadLines(path).TakeWhile(line => line.Length > 0).Select(line => line.Split(':', 2, StringSplitOptions.TrimEntries))
            .Where(parts => parts.Length == 2).DistinctBy(parts => parts[0]).ToDictionary(parts => parts[0], parts => parts[1], StringComparer.Ordinal);
    }

    private static string LargestCache()
    {
        const string folder = "/sys/devices/system/cpu/cpu0/cache";
        string[] sizes = Directory.Exists(folder) ? [.. Directory.GetDirectories(folder, "index*").Order(StringComparer.Ordinal).Select(index => Path.Combine(index, "size")).Where(File.Exists)] : [];
        return sizes.Length == 0 ? "unknown" : File.ReadAllText(sizes[^1]).Trim();
    }
}

/// <summary>How much of the processors everything else on the machine takes, from the counters of the system, of this process and of those it started and saw end.</summary>
internal sealed class OtherLoad
{
    private const double TicksPerSecond = 100;
    private readonly double machine = MachineSeconds();
    private readonly double own = OwnSeconds();
    private readonly long start = Stopwatch.GetTimestamp();

    /// <summary>Processors that were busy for others since this was made, on average; NaN where the system does not say.</summary>
    public double Cores()
    {
        double busy = MachineSeconds() - machine - (OwnSeconds() - own);
        return Math.Max(0, busy) / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static double OwnSeconds()
    {
        const string path = "/proc/self/stat";
        double children = 0;
        if (File.Exists(path))
        {
            // Behind the name, which may hold spaces: state, ten numbers, then the ticks of this process and of its children, in user and in system mode.
            string text = File.ReadAllText(path);
            string[] fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
            children = fields[13..15].Sum(value => double.Parse(value, CultureInfo.InvariantCulture)) / TicksPerSecond;
        }

        return Environment.CpuUsage.TotalTime.TotalSeconds + children;
    }

    private static double MachineSeconds()
    {
        // user, nice, system, idle, iowait, irq, softirq, steal
        double[] ticks = File.Exists("/proc/stat")
            ? [.. File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(8).Select(value => double.Parse(value, CultureInfo.InvariantCulture))]
            : [double.NaN];
        return ticks.Where((_, index) => index is not (3 or 4)).Sum() / TicksPerSecond;
    }
}
