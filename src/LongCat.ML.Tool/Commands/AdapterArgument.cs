using System.CommandLine;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>--adapter</c> of the verbs that merge one adapter into what they write.</summary>
internal static class AdapterArgument
{
    public static Option<string?> Create() => new("--adapter") { Description = "The folder of a LoRA adapter, as PEFT or longcat-train saves it, to be merged into the weights." };

    /// <exception cref="UsageException">The folder is blank.</exception>
    public static string Folder(string value) => !string.IsNullOrWhiteSpace(value) ? value : throw new UsageException("--adapter is empty, expected an adapter's folder");

    /// <summary>The folder that was given, or null.</summary>
    /// <exception cref="UsageException">It is blank.</exception>
    public static string? Folder(ParseResult result, Option<string?> option) => result.GetValue(option) is { } value ? Folder(value) : null;
}
