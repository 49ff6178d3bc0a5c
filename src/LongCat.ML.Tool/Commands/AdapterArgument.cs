using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>--adapter</c> of the verbs that merge one adapter into what they write.</summary>
internal static class AdapterArgument
{
    public static Option<string?> Create() => new("--adapter") { Description = "The folder of a LoRA adapter, as PEFT or longcat-train saves it, to be merged into the weights." };

    /// <summary><c>--onto-unquantized</c> of the verbs that merge into weights that are not quantized.</summary>
    public static Option<bool> CreateOntoUnquantized() => new("--onto-unquantized")
    {
        Description = "Merge an adapter that was trained on quantized weights (--base w4a8) into unquantized ones all the same; the result is another model than the one that was trained.",
    };

    /// <summary><c>--adapter-inputs</c> of the export.</summary>
    public static Option<string?> CreateInputs() => new("--adapter-inputs")
    {
        Description = "Give the graph inputs for adapters of these modules: the folder of an adapter that has them, or targets (a preset such as attention-dense, names with commas, or a regular expression). "
            + "For other runtimes (longcat adapter); LongCat.ML's own engine takes adapters with any export.",
    };

    /// <summary>The targets that were given, or null.</summary>
    /// <exception cref="UsageException">They are blank.</exception>
    public static AdapterTargets? Inputs(ParseResult result, Option<string?> option)
    {
        if (result.GetValue(option) is not { } value)
        {
            return null;
        }

        if (string.IsNullOrWhiteSpace(value))
        {
            throw new UsageException("--adapter-inputs is empty, expected an adapter's folder or targets");
        }

        if (!Directory.Exists(value))
        {
            return AdapterTargets.Parse(value);
        }

        using PeftAdapter adapter = PeftAdapter.Load(value);
        return AdapterTargets.Names(adapter.Modules.Keys);
    }

    /// <exception cref="UsageException">The folder is blank.</exception>
    public static string Folder(string value) => !string.IsNullOrWhiteSpace(value) ? value : throw new UsageException("--adapter is empty, expected an adapter's folder");

    /// <summary>The folder that was given, or null.</summary>
    /// <exception cref="UsageException">It is blank.</exception>
    public static string? Folder(ParseResult result, Option<string?> option) => result.GetValue(option) is { } value ? Folder(value) : null;
}
