using System.Diagnostics;

namespace LongCat.ML.RepositoryTests.Packages;

/// <summary>A program in a process of its own, with an environment that nothing of this test run leaks into.</summary>
internal static class DotNetProcess
{
    // The longest of them builds the kernels and runs their tests under an emulator.
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(25);

    /// <summary>Runs a program and returns what it printed; any exit code but 0 fails the test with all of its output.</summary>
    public static async Task<string> RunAsync(string folder, string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true };
        // `dotnet test` tells its children which MSBuild to use and how; a user's shell does not.
        foreach (string name in start.Environment.Keys.Where(name => name.StartsWith("MSBuild", StringComparison.OrdinalIgnoreCase)).ToArray())
        {
            start.Environment.Remove(name);
        }

        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["DOTNET_CLI_TELEMETRY_OPTOUT"] = "1";
        start.Environment["DOTNET_NOLOGO"] = "1";
        start.Environment["DOTNET_ROOT"] = Path.GetDirectoryName(Environment.ProcessPath);
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        using CancellationTokenSource limit = new(Limit);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail($"{program} {string.Join(' ', start.ArgumentList)} did not end within {Limit}");
        }

        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', start.ArgumentList)} ended with {process.ExitCode}:\n{await output}\n{await error}");
        return await output;
    }
}
