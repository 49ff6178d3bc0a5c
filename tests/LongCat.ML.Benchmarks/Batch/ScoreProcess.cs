using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace LongCat.ML.Benchmarks.Batch;

/// <summary>What a run of <c>longcat score</c> took.</summary>
/// <param name="RowsPerSecond">As it says itself: from the first row on, the model loaded.</param>
/// <param name="PeakResident">Bytes of memory in RAM at most, the touched part of the mapped weights included.</param>
/// <param name="PeakPrivate">Bytes of anonymous and shared memory at most: everything but mapped files.</param>
internal sealed record ScoreRun(double RowsPerSecond, double PeakResident, double PeakPrivate);

/// <summary><c>longcat score</c> as a user runs it, watched from outside.</summary>
internal static partial class ScoreProcess
{
    private static string Tool { get; } = Path.Combine(BenchmarkModels.Root, "artifacts", "bin", "LongCat.ML.Tool", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "longcat.dll");

    public static ScoreRun Run(string model, string input, string output, int threads, int rowsInFlight, int newTokens, long cacheBytes)
    {
        if (!File.Exists(Tool))
        {
            throw new InvalidOperationException($"{Tool} is not built: ./run build");
        }

        File.Delete(output);
        using Process process = Process.Start(new ProcessStartInfo(
            "dotnet",
            [
                Tool, "score", model, "--input", input, "--output", output, "--threads", Text(threads), "--rows-in-flight", Text(rowsInFlight), "--max-new-tokens", Text(newTokens),
                "--cache-memory", Text(cacheBytes),
            ])
        { RedirectStandardError = true, RedirectStandardOutput = true })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        _ = process.StandardOutput.ReadToEndAsync();
        double resident = 0, privately = 0;
        while (!process.WaitForExit(10))
        {
            try
            {
                string[] status = File.ReadAllLines($"/proc/{process.Id}/status");
                resident = Math.Max(resident, Kilobytes(status, "VmHWM:"));
                privately = Math.Max(privately, Kilobytes(status, "RssAnon:") + Kilobytes(status, "RssShmem:"));
            }
            catch (IOException)
            {
                // It ended in between.
            }
        }

        string said = error.GetAwaiter().GetResult();
        return process.ExitCode == 0 && Rate().Match(said) is { Success: true } rate
            ? new ScoreRun(double.Parse(rate.Groups[1].Value, CultureInfo.InvariantCulture), resident, privately)
            : throw new InvalidOperationException($"longcat score ended with exit code {process.ExitCode}: {said.Trim()}");
    }

    private static double Kilobytes(string[] status, string name) =>
        status.FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal)) is { } line
            ? 1024 * double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) : 0;

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    // The last line, not those of the progress.
    [GeneratedRegex(@"failed, ([0-9.]+) rows/s")]
    private static partial Regex Rate();
}
