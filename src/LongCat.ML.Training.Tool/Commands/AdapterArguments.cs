using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Modules;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>The options that say what is trained.</summary>
internal sealed class AdapterArguments
{
    private static readonly LoraOptions s_defaults = new();
    private readonly bool _draftHead;
    private readonly Option<string> _method;
    private readonly Option<int> _rank = TrainingArguments.Whole("--rank", "The adapter's rank.", s_defaults.Rank, least: 1);
    private readonly Option<double> _alpha = TrainingArguments.Number("--alpha", "The adapter's scale is alpha / rank (rslora: alpha / sqrt(rank)).", s_defaults.Alpha, v => v > 0, "above 0");
    private readonly Option<double> _dropout = TrainingArguments.Number("--dropout", "The share of an adapter's inputs that training drops.", s_defaults.Dropout, v => v is >= 0 and < 1, "0 or more, below 1");
    private readonly Option<string[]> _targets;
    private readonly Option<string[]> _exclude = new("--exclude") { Description = "Modules to leave out, likewise.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [] };
    private readonly Option<int[]> _layers = new("--layers") { Description = "Only these layers, from 0.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [] };
    private readonly Option<string[]> _save = new("--modules-to-save") { Description = "Modules that are trained whole and stored with the adapter.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [] };
    private readonly Option<bool> _tables = new("--ngram-tables") { Description = "Train the n-gram tables too." };
    private readonly Option<AfaActivation?> _afa = new("--afa") { Description = "AFA-LoRA with relu, silu or gelu between A and B, annealed to plain LoRA." };
    private readonly Option<AfaSchedule> _afaSchedule = new("--afa-schedule") { Description = "linear, cosine, exponential or step.", DefaultValueFactory = _ => AfaSchedule.Linear };
    private readonly Option<double> _afaEnd = TrainingArguments.Number("--afa-end", "The share of the steps after which the adapter is plain.", new AfaOptions().EndFraction, v => v is > 0 and <= 1, "above 0, up to 1");

    /// <param name="draftHead">Whether a draft head is trained, whose own weights are the default, rather than a model.</param>
    public AdapterArguments(bool draftHead = false)
    {
        _draftHead = draftHead;
        _method = new("--method")
        {
            Description = draftHead
                ? "full (the head's own weights), or an adapter on its projections that is merged in the end: lora, rslora, dora, pissa, afa."
                : "lora, rslora, dora, pissa, afa, or full (all weights).",
            DefaultValueFactory = _ => draftHead ? "full" : "lora",
        };
        _method.AcceptOnlyFromAmong("lora", "rslora", "dora", "pissa", "afa", "full");
        _targets = new("--targets")
        {
            Description = draftHead
                ? "Which projections of the head the adapter sits on: names such as eh_proj, or one expression over whole paths; all unless given."
                : "Which modules: a preset (attention, attention-dense, experts, all-linear), names such as q_proj, or one expression over whole paths; give several names one after another or with commas.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [],
        };
    }

    public void AddTo(Command command)
    {
        Option[] all = [_method, _rank, _alpha, _dropout, _targets, _exclude, _afa, _afaSchedule, _afaEnd];
        foreach (Option option in _draftHead ? all : [.. all, _layers, _save, _tables])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>The adapter, or null for full fine-tuning.</summary>
    public LoraOptions? Read(ParseResult result, ulong seed)
    {
        string method = result.GetRequiredValue(_method);
        var activation = result.GetValue(_afa) ?? (method == "afa" ? AfaActivation.Relu : null);
        if (method == "full")
        {
            return activation is null ? null : throw new UsageException($"--afa needs an adapter; --method full trains {(_draftHead ? "the head's own" : "all")} weights");
        }

        return new LoraOptions
        {
            Rank = result.GetValue(_rank),
            Alpha = result.GetValue(_alpha),
            Dropout = result.GetValue(_dropout),
            UseRsLora = method == "rslora",
            UseDora = method == "dora",
            Initialization = method == "pissa" ? LoraInitialization.Pissa : LoraInitialization.Default,
            Targets = Targets(result.GetValue(_targets)),
            Exclude = Targets(result.GetValue(_exclude)),
            Layers = !_draftHead && result.GetValue(_layers) is { Length: > 0 } layers ? layers : null,
            ModulesToSave = !_draftHead && Names(result.GetValue(_save)) is { Length: > 0 } saved ? saved : null,
            TrainNGramTables = !_draftHead && result.GetValue(_tables),
            Afa = activation is not { } sigma ? null : new AfaOptions { Activation = sigma, Schedule = result.GetValue(_afaSchedule), EndFraction = result.GetValue(_afaEnd) },
            Seed = seed,
        };
    }

    private static string[] Names(string[]? given) => [.. (given ?? []).SelectMany(text => text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];

    /// <summary>One text may be a preset, a name or an expression; several are names.</summary>
    private static AdapterTargets? Targets(string[]? given) => given is not { Length: > 0 } ? null
        : given.Length == 1 ? AdapterTargets.Parse(given[0]) : AdapterTargets.Names(Names(given));
}
