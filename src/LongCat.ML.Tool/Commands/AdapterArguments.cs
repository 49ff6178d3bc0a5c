using System.CommandLine;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary>The adapters of a verb: <c>--adapter folder</c>, or <c>--adapter name=folder</c> several times with <c>--use name</c> or a field of each row.</summary>
internal sealed class AdapterArguments
{
    private const string OnlyName = "adapter";
    private readonly Option<string[]> _adapters = new("--adapter")
    {
        Description = "A PEFT folder to run with; or name=folder, several times.",
        DefaultValueFactory = _ => [],
    };

    private readonly Option<string?> _use = new("--use") { Description = "The name of the adapter to run with, where several are given." };
    private readonly Option<string?>? _column;

    /// <param name="rows">Whether the verb reads rows, which may name their adapters.</param>
    public AdapterArguments(bool rows)
    {
        _column = rows ? new Option<string?>("--adapter-column") { Description = "The field with the name of a row's adapter; null or empty: the model alone." } : null;
    }

    public void AddTo(Command command)
    {
        command.Options.Add(_adapters);
        command.Options.Add(_use);
        if (_column is not null)
        {
            command.Options.Add(_column);
        }
    }

    /// <summary>What the command line says.</summary>
    /// <exception cref="UsageException">It contradicts itself.</exception>
    public AdapterSelection Read(ParseResult result)
    {
        string[] given = result.GetValue(_adapters) ?? [];
        string? use = result.GetValue(_use);
        string? column = _column is null ? null : result.GetValue(_column);
        Dictionary<string, string> adapters = new(StringComparer.Ordinal);
        foreach (string text in given)
        {
            (string? name, string folder) = Split(text);
            if (folder.Length == 0 || name is "")
            {
                throw new UsageException($"--adapter is '{text}', expected a folder or name=folder");
            }

            if (name is null && given.Length > 1)
            {
                throw new UsageException($"--adapter is given {given.Length} times and '{text}' has no name, expected name=folder");
            }

            if (!adapters.TryAdd(name ?? OnlyName, folder))
            {
                throw new UsageException($"--adapter gives the name '{name}' twice, expected different names");
            }
        }

        if (adapters.Count == 0)
        {
            return use is null && column is null ? AdapterSelection.None : throw new UsageException($"{(use is null ? "--adapter-column" : "--use")} is given without --adapter");
        }

        string names = string.Join(", ", adapters.Keys.Select(name => $"'{name}'"));
        if (use is not null && !adapters.ContainsKey(use))
        {
            throw new UsageException($"--use is '{use}', expected one of {names}");
        }

        if (use is not null && column is not null)
        {
            throw new UsageException("give either --use or --adapter-column");
        }

        return use is null && column is null && adapters.Count > 1
            ? throw new UsageException($"--adapter is given {adapters.Count} times ({names}); say which one runs with --use{(_column is null ? "" : " or --adapter-column")}")
            : new AdapterSelection(adapters, column is null ? use ?? adapters.Keys.Single() : null, column);
    }

    /// <summary>A name is in front of the first '=', unless that is part of an existing folder's path.</summary>
    private static (string? Name, string Folder) Split(string text)
    {
        int end = text.IndexOf('=', StringComparison.Ordinal);
        return end < 0 || text.AsSpan(0, end).ContainsAny('/', '\\') || Directory.Exists(text) ? (null, text) : (text[..end], text[(end + 1)..]);
    }
}

/// <summary>Which adapters are loaded, and which one runs.</summary>
/// <param name="Adapters">Folders by name.</param>
/// <param name="Use">The one of all rows; null where there is none, or rows name their own.</param>
/// <param name="Column">The field of rows with their adapters, or null.</param>
internal sealed record AdapterSelection(IReadOnlyDictionary<string, string> Adapters, string? Use, string? Column)
{
    public static AdapterSelection None { get; } = new(new Dictionary<string, string>(), null, null);
}
