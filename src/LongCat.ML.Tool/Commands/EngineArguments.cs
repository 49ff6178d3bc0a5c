using System.CommandLine;
using System.CommandLine.Parsing;
using LongCat.ML.Inference;

namespace LongCat.ML.Tool.Commands;

/// <summary>Options that several verbs share, checked while the command line is read.</summary>
internal static class EngineArguments
{
    public static Option<int> Threads() =>
        Number("--threads", "Threads of the engine; 0 takes every core.", 0, value => value >= 0, "0 or more");

    public static Option<WeightPages> WeightPages() => new("--weight-pages")
    {
        Description = "Mapped, or Huge: weights are copied into pages of 2 MiB (Linux), which saves translations of addresses and takes memory of its own.",
        DefaultValueFactory = _ => Inference.WeightPages.Mapped,
    };

    /// <summary>Memory of the key-value caches; null where the engine's default is to be taken.</summary>
    public static Option<long?> CacheMemory() => new("--cache-memory")
    {
        Description = "Memory of the key-value caches of all rows together, a number of bytes or with K, M or G (of 1,024): 512M. 1G where it is not given. Rows that find no room wait.",
        CustomParser = result =>
        {
            string text = result.Tokens[^1].Value;
            if (ByteSize.TryParse(text, out long bytes))
            {
                return bytes;
            }

            result.AddError($"--cache-memory is {text}, expected a number of bytes above 0, or one with K, M or G such as 512M");
            return null;
        },
    };

    /// <summary>Opens the engine; where huge pages were asked for and cannot be had, one line says why.</summary>
    public static InferenceEngine Load(string folder, EngineOptions options, TextWriter error)
    {
        InferenceEngine engine = InferenceEngine.Load(folder, options);
        if (engine.Weights.Fallback is { } reason)
        {
            error.WriteLine($"note: weights stay in the file mapping: {reason}");
        }

        if (options.MemoryBudgetBytes != new EngineOptions().MemoryBudgetBytes && engine.LongestSequence < engine.Manifest.MaxPositions)
        {
            error.WriteLine($"note: --cache-memory has room for sequences of {engine.LongestSequence} tokens, the model takes {engine.Manifest.MaxPositions}: longer rows are treated as --overflow says");
        }

        return engine;
    }

    public static Option<string?> Speculate()
    {
        Option<string?> option = new("--speculate")
        {
            Description = "Propose tokens and verify them together, which changes none (without --sparse-verify): lookup (from the text itself), mtp (the model's own draft head), or the ONNX folder of a smaller model with the same tokenizer.",
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var value }] && string.IsNullOrWhiteSpace(value))
            {
                result.AddError("--speculate is empty, expected lookup, mtp or the folder of a draft model");
            }
        });
        return option;
    }

    /// <summary>What <c>--speculate</c> stands for; null where it is not given.</summary>
    public static SpeculativeOptions? Speculation(string? value) => value switch
    {
        null => null,
        "lookup" => new SpeculativeOptions { Proposer = SpeculativeProposer.PromptLookup },
        "mtp" => new SpeculativeOptions { Proposer = SpeculativeProposer.Mtp },
        _ => new SpeculativeOptions { Proposer = SpeculativeProposer.DraftModel, DraftFolder = value },
    };

    public static Option<int> MaxNewTokens(string description) =>
        Number("--max-new-tokens", description, 128, value => value >= 0, "0 or more");

    public static Option<float> Temperature(string description) =>
        Number("--temperature", description, 0f, value => float.IsFinite(value) && value >= 0, "a finite number from 0");

    public static Option<string[]> Stop(string description)
    {
        Option<string[]> option = new("--stop") { Description = description, DefaultValueFactory = _ => [] };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Any(token => token.Value.Length == 0))
            {
                result.AddError("--stop is empty, expected a text to stop before");
            }
        });
        return option;
    }

    /// <summary>An option whose value is checked while the command line is read, so that a wrong one is wrong usage.</summary>
    public static Option<T> Number<T>(string name, string description, T initially, Func<T, bool> accepts, string expected)
    {
        Option<T> option = new(name) { Description = description, DefaultValueFactory = _ => initially };
        option.Validators.Add(result =>
        {
            // A text that is no number has the parser's own error.
            if (result is { Implicit: false, Tokens.Count: 1 } && result.Errors.Any() is false
                && TryValue(result, out T? value) && !accepts(value!))
            {
                result.AddError($"{name} is {result.Tokens[0].Value}, expected {expected}");
            }
        });
        return option;
    }

    private static bool TryValue<T>(OptionResult result, out T? value)
    {
        try
        {
            value = result.GetValueOrDefault<T>();
            return true;
        }
        catch (InvalidOperationException)
        {
            value = default;
            return false;
        }
    }
}
