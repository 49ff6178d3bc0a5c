using System.Diagnostics;
using System.Globalization;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.ToolTests;

/// <summary>
/// Memory of the tool over a checkpoint of a quarter of a gigabyte, half of it n-gram tables: neither export nor running holds the weights. <c>./run bench scale</c> is the same over 8 GB.
/// </summary>
public sealed class LargeCheckpointTests(ITestOutputHelper output)
{
    private const double Gigabytes = 0.25;

    // The .NET runtime, the thread pool, ONNX Runtime, code that is compiled, and 8 MiB of blocks on their way: far below the weights.
    private const double MostMegabytes = 150;

    [ProcFact]
    public void Neither_export_nor_generation_holds_the_weights_in_private_memory()
    {
        using TemporaryFolder folder = new();
        ScaleCheckpoint.Write(folder["checkpoint"], Gigabytes, shards: 3);
        double export = Peak("export", folder["checkpoint"], "--output", folder["onnx"]);
        double weights = new FileInfo(Path.Combine(folder["onnx"], "model.onnx.data")).Length / 1e6;
        double generate = Peak("generate", folder["onnx"], "--ids", "1,2,3", "--max-new-tokens", "8", "--ignore-eos");
        output.WriteLine($"{weights:F0} MB of weights; private memory at most {export:F0} MB while exporting, {generate:F0} MB while running; limit {MostMegabytes} MB");
        Assert.True(weights > 900 * Gigabytes, "the checkpoint is smaller than it should be");
        Assert.InRange(export, 5, MostMegabytes);
        Assert.InRange(generate, 5, MostMegabytes);
    }

    /// <summary>Runs the tool and looks at its anonymous memory every few milliseconds.</summary>
    /// <returns>The most megabytes.</returns>
    private static double Peak(params string[] arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "longcat.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> printed = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        double peak = 0;
        while (!process.WaitForExit(5))
        {
            peak = Math.Max(peak, Anonymous(process.Id));
        }

        Assert.True(process.ExitCode == 0, error.Result + printed.Result);
        return peak;
    }

    private static double Anonymous(int process)
    {
        try
        {
            string? line = File.ReadLines($"/proc/{process}/status").FirstOrDefault(line => line.StartsWith("RssAnon:", StringComparison.Ordinal));
            return line is null ? 0 : double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024 / 1e6;
        }
        catch (IOException)
        {
            // It ended between two looks.
            return 0;
        }
    }
}

/// <summary>A test that reads /proc; skips where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ProcFactAttribute : FactAttribute
{
    public ProcFactAttribute() => Skip = File.Exists("/proc/self/status") ? null : "this system has no /proc to read the memory of a process from";
}
