using System.CommandLine;
using System.Globalization;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>--sparse-verify</c>: what the verification of proposed tokens may leave out, in one text of <c>name=value</c> pairs.</summary>
internal static class SparseVerifyArgument
{
    private const string Name = "--sparse-verify";

    private static readonly Dictionary<string, Part> s_parts = new(StringComparer.Ordinal)
    {
        ["attention"] = new(0, 1, Whole: false, "0 to 1, the share of the context beyond l0 that is read"),
        ["l0"] = new(0, 1 << 30, Whole: true, "0 or more tokens"),
        ["block"] = new(1, 1 << 16, Whole: true, "1 to 65536 tokens, a multiple of 16"),
        ["sink"] = new(0, 1 << 16, Whole: true, "0 to 65536 blocks"),
        ["local"] = new(1, 1 << 16, Whole: true, "1 to 65536 blocks"),
        ["tau"] = new(0, float.MaxValue, Whole: false, "a finite magnitude from 0"),
        ["experts"] = new(0, 1 << 16, Whole: true, "0 or more experts"),
        ["refresh"] = new(0, 1 << 16, Whole: true, "0 (never) to 65536 steps"),
    };

    public static Option<string?> Create()
    {
        Option<string?> option = new(Name)
        {
            Description = "With --speculate, and lossy: what the verification of proposed tokens may leave out, for instance attention=0.25,l0=4096,tau=0.01,experts=2,refresh=32. "
                + "attention: the share of the context beyond l0 tokens that is read, in blocks (block, sink, local); tau: channels with smaller gate activations are skipped; "
                + "experts: at most so many are skipped; refresh: after so many steps everything is computed exactly again. For folders of export --sparse-verification.",
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var value }] && Parse(value).Error is { } error)
            {
                result.AddError(error);
            }
        });
        return option;
    }

    /// <summary>The options with what a text says; null says nothing.</summary>
    /// <exception cref="UsageException">The text is wrong, or there is no speculation.</exception>
    public static SpeculativeOptions? Apply(SpeculativeOptions? speculation, string? text)
    {
        if (text is null)
        {
            return speculation;
        }

        (SparseVerification? verification, string? error) = Parse(text);
        return error is not null ? throw new UsageException(error)
            : speculation is null ? throw new UsageException($"{Name} needs --speculate: without proposed tokens there is nothing to verify")
            : speculation with { Verification = verification };
    }

    private static (SparseVerification? Verification, string? Error) Parse(string text)
    {
        Dictionary<string, double> values = new(StringComparer.Ordinal);
        foreach (string pair in text.Split(','))
        {
            string[] sides = pair.Split('=');
            if (sides.Length != 2 || !s_parts.TryGetValue(sides[0], out Part? part))
            {
                return (null, $"{Name} has '{pair}', expected {string.Join(", ", s_parts.Keys.Select(key => $"{key}=…"))}, separated by commas");
            }

            if (!double.TryParse(sides[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                || !(value >= part.Least && value <= part.Most) || (part.Whole && value != Math.Floor(value)))
            {
                return (null, $"{Name} has {sides[0]}={sides[1]}, expected {part.Expected}");
            }

            if (!values.TryAdd(sides[0], value))
            {
                return (null, $"{Name} has {sides[0]} twice");
            }
        }

        bool attention = values.TryGetValue("attention", out double rho);
        if (!attention && values.Keys.FirstOrDefault(key => key is "l0" or "block" or "sink" or "local") is { } lost)
        {
            return (null, $"{Name} has {lost} and no attention=…, which it belongs to");
        }

        AttentionBudget budget = new();
        return (new SparseVerification
        {
            Attention = attention
                ? new AttentionBudget
                {
                    Rho = rho,
                    L0 = Integer("l0", budget.L0),
                    BlockSize = Integer("block", budget.BlockSize),
                    SinkBlocks = Integer("sink", budget.SinkBlocks),
                    LocalBlocks = Integer("local", budget.LocalBlocks),
                }
                : null,
            FfnThreshold = (float)values.GetValueOrDefault("tau"),
            MaxSkippedExperts = Integer("experts", 0),
            RefreshEvery = Integer("refresh", new SparseVerification().RefreshEvery),
        }, null);

        int Integer(string name, int otherwise) => values.TryGetValue(name, out double value) ? (int)value : otherwise;
    }

    private sealed record Part(double Least, double Most, bool Whole, string Expected);
}
