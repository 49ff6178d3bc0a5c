using System.Diagnostics;

namespace LongCat.ML.ToolTests;

/// <summary>Runs a tool as a user does: its own process, arguments, exit code, both streams.</summary>
internal sealed record ToolProcess(int ExitCode, string Output, string Error)
{
    public static ToolProcess LongCat(params string[] arguments) => Run("longcat", arguments);

    public static ToolProcess Train(params string[] arguments) => Run("longcat-train", arguments);

    /// <summary>Runs <c>longcat</c> with variables of a scheduler.</summary>
    public static ToolProcess With(Dictionary<string, string> environment, string[] arguments) => Run("longcat", arguments, environment);

    /// <summary>Starts a tool without waiting for it; all three streams are the caller's.</summary>
    public static Process Start(string tool, string[] arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        ProcessStartInfo start = new("dotnet")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, tool + ".dll"));
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    private static ToolProcess Run(string tool, string[] arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        using Process process = Start(tool, arguments, environment);
        process.StandardInput.Close();
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
