using System.Globalization;

namespace Chat;

/// <summary>The command line.</summary>
internal sealed record Arguments(string Folder, string? System, int MaxTokens, long? Seed, bool Clock)
{
    public const string Usage = "usage: Chat <folder of a chat model, exported or a checkpoint> [--system text] [--max-tokens 512] [--seed n] [--clock]";

    /// <summary>The arguments; null where they cannot be understood.</summary>
    public static Arguments? Parse(string[] args)
    {
        if (args.Length == 0 || args[0].StartsWith('-'))
        {
            return null;
        }

        Arguments arguments = new(args[0], null, 512, null, false);
        for (int i = 1; i < args.Length; i++)
        {
            string? value = i + 1 < args.Length ? args[i + 1] : null;
            switch (args[i])
            {
                case "--clock":
                    arguments = arguments with { Clock = true };
                    continue;
                case "--system" when value is not null:
                    arguments = arguments with { System = value };
                    break;
                case "--max-tokens" when int.TryParse(value, CultureInfo.InvariantCulture, out int tokens) && tokens > 0:
                    arguments = arguments with { MaxTokens = tokens };
                    break;
                case "--seed" when long.TryParse(value, CultureInfo.InvariantCulture, out long seed):
                    arguments = arguments with { Seed = seed };
                    break;
                default:
                    return null;
            }

            i++;
        }

        return arguments;
    }
}
