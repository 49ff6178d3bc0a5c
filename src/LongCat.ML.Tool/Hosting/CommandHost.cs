using System.CommandLine;
using System.CommandLine.Parsing;

namespace LongCat.ML.CommandLine;

/// <summary>
/// Runs a command tree with the conventions that both tools share: one line <c>error: …</c> on standard error, exit code 2 for wrong
/// usage, 1 for failing input, 130 after Ctrl-C, and a stack trace only with <c>--verbose</c>.
/// </summary>
internal static class CommandHost
{
    public const int Success = 0;
    public const int FailingInput = 1;
    public const int WrongUsage = 2;
    public const int Interrupted = 130;

    /// <summary><c>--verbose</c>, understood by every verb.</summary>
    public static Option<bool> Verbose { get; } = new("--verbose")
    {
        Description = "Show the stack trace of an error.",
        Recursive = true,
    };

    public static async Task<int> RunAsync(RootCommand root, string[] arguments, TextWriter? output = null, TextWriter? error = null)
    {
        error ??= Console.Error;
        root.Options.Add(Verbose);
        ParseResult parsed = root.Parse(arguments);

        if (parsed.Errors.Count > 0)
        {
            foreach (ParseError problem in parsed.Errors)
            {
                await error.WriteLineAsync($"error: {OneLine(problem.Message)}").ConfigureAwait(false);
            }

            await error.WriteLineAsync($"see: {CommandPath(parsed.CommandResult)} --help").ConfigureAwait(false);
            return WrongUsage;
        }

        InvocationConfiguration configuration = new()
        {
            EnableDefaultExceptionHandler = false,
            Output = output ?? Console.Out,
            Error = error,
        };

        try
        {
            return await parsed.InvokeAsync(configuration).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            await error.WriteLineAsync("error: stopped").ConfigureAwait(false);
            return Interrupted;
        }
        catch (UsageException problem)
        {
            await error.WriteLineAsync($"error: {OneLine(problem.Message)}").ConfigureAwait(false);
            return WrongUsage;
        }
        // The last line of defence of a process: whatever went wrong becomes one line and an exit code.
        catch (Exception problem)
        {
            await error.WriteLineAsync($"error: {OneLine(problem.Message)}").ConfigureAwait(false);
            if (parsed.GetValue(Verbose))
            {
                await error.WriteLineAsync(problem.ToString()).ConfigureAwait(false);
            }

            return FailingInput;
        }
    }

    private static string OneLine(string message) =>
        string.Join(" ", message.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));

    private static string CommandPath(CommandResult result)
    {
        string name = result.Command is RootCommand ? typeof(CommandHost).Assembly.GetName().Name! : result.Command.Name;
        return result.Parent is CommandResult parent ? $"{CommandPath(parent)} {name}" : name;
    }
}
