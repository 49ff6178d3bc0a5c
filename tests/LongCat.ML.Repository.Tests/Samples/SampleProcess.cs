using System.Diagnostics;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

/// <summary>A sample as a stranger runs it: a process of its own.</summary>
internal static class SampleProcess
{
    /// <summary>Runs a sample to its end and expects exit code 0.</summary>
    /// <returns>What it printed.</returns>
    public static async Task<string> RunAsync(ITestOutputHelper output, string sample, params string[] arguments)
    {
        (int code, string printed, string error) = await StartAsync(sample, arguments);
        output.WriteLine(printed);
        Assert.True(code == 0, $"exit code {code}: {error}");
        return printed;
    }

    public static Task<(int Code, string Printed, string Error)> StartAsync(string sample, params string[] arguments) => StartWithInputAsync(sample, "", arguments);

    /// <summary>Runs a sample to its end with text at its standard input.</summary>
    public static async Task<(int Code, string Printed, string Error)> StartWithInputAsync(string sample, string input, params string[] arguments)
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, sample + ".dll"), .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string printed = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, printed, await error);
    }
}
