using System.Diagnostics;

namespace LongCat.ML.ToolTests;

/// <summary>Runs a tool as a user does: its own process, arguments, exit code, both streams.</summary>
internal sealed record ToolProcess(int ExitCode, string Output, string Error)
{
    public static ToolProcess LongCat(params string[] arguments) => Run("longcat", arguments);

    public static ToolProcess Train(params string[] arguments) => Run("longcat-train", arguments);

    private static ToolProcess Run(string tool, string[] arguments)
    {
        ProcessStartInfo start = new("dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, tool + ".dll"));
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{tool} {string.Join(' ', arguments)} took more than two minutes");
        }

        process.WaitForExit();
        return new ToolProcess(process.ExitCode, output.Result, error.Result);
    }
}
