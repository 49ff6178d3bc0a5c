using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using System.Text.RegularExpressions;

namespace LongCat.ML.CommandLine;

/// <summary>
/// Runs a command tree with the conventions that both tools share: one line <c>error: …</c> on standard error, exit code 2 for wrong
/// usage, 1 for failing input, 75 for what may succeed later, 130 after Ctrl-C, and a stack trace only with <c>--verbose</c>.
/// </summary>
internal static class CommandHost
{
    public const int Success = 0;
    public const int FailingInput = 1;
    public const int WrongUsage = 2;

    /// <summary>EX_TEMPFAIL of sysexits.h: schedulers put such a process into the queue again.</summary>
    public const int TryAgain = 75;
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
            string problems = string.Join("; ", parsed.Errors.Select(problem => Readable(problem.Message)));
            await error.WriteLineAsync($"error: {problems} (see {CommandPath(parsed.CommandResult)} --help)").ConfigureAwait(false);
            return WrongUsage;
        }

        if (EmptyValue(parsed.CommandResult) is string name)
        {
            await error.WriteLineAsync($"error: {name} is empty, expected a value (see {CommandPath(parsed.CommandResult)} --help)").ConfigureAwait(false);
            return WrongUsage;
        }

        InvocationConfiguration configuration = new()
        {
            EnableDefaultExceptionHandler = false,

            // Until a step that runs has ended; less than the ten seconds that schedulers give by custom before they kill.
            ProcessTerminationTimeout = TimeSpan.FromSeconds(8),
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
        catch (TryAgainException problem)
        {
            await error.WriteLineAsync($"error: {OneLine(problem.Message)}").ConfigureAwait(false);
            return TryAgain;
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

    /// <summary>The lines of a message one after the other; a line that ends without punctuation is closed with a semicolon.</summary>
    internal static string OneLine(string message)
    {
        string[] lines = message.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        StringBuilder line = new();
        for (int i = 0; i < lines.Length; i++)
        {
            line.Append(lines[i]);
            if (i < lines.Length - 1)
            {
                line.Append(char.IsLetterOrDigit(lines[i][^1]) || lines[i][^1] is ')' or ']' or '\'' or '"' ? "; " : " ");
            }
        }

        return line.ToString();
    }

    /// <summary>The parser's message without .NET's names of types and without a full stop.</summary>
    private static string Readable(string message)
    {
        Match type = Regex.Match(message, @"as expected type '(System\.Nullable`1\[)?(?<type>[\w.]+)\]?'");
        if (type.Success)
        {
            string expected = type.Groups["type"].Value switch
            {
                "System.Int32" or "System.Int64" => "expected a whole number",
                "System.UInt32" or "System.UInt64" => "expected a whole number from 0",
                "System.Single" or "System.Double" => "expected a number",
                "System.Boolean" => "expected true or false",
                string other => $"expected a {other[(other.LastIndexOf('.') + 1)..]}",
            };
            message = message.Replace(type.Value, $"({expected})", StringComparison.Ordinal);
        }

        return OneLine(message).TrimEnd('.');
    }

    /// <summary>The first argument or required option that was given as an empty text: a path or name that nothing can be done with.</summary>
    private static string? EmptyValue(CommandResult command) => command.Children
        .Where(child => child.Tokens.Count == 1 && child.Tokens[0].Value.Length == 0)
        .Select(child => child switch
        {
            ArgumentResult { Argument: Argument<string> argument } => argument.Name,
            OptionResult { Option: { Required: true } option } => option.Name,
            _ => null,
        })
        .FirstOrDefault(name => name is not null);

    private static string CommandPath(CommandResult result)
    {
        string name = result.Command is RootCommand ? typeof(CommandHost).Assembly.GetName().Name! : result.Command.Name;
        return result.Parent is CommandResult parent ? $"{CommandPath(parent)} {name}" : name;
    }
}
