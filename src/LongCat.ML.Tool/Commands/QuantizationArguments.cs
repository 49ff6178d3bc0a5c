using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.Quantization;

namespace LongCat.ML.Tool.Commands;

/// <summary>The options of a quantization, the same for <c>longcat quantize</c> and <c>longcat export --precision w4a8</c>.</summary>
internal sealed class QuantizationArguments
{
    private const int MiB = 1 << 20;

    private readonly Option<string> _recipe = Choice("--recipe", "longcat (groups of 128, clipping grid, error compensation), rtn, fptq, odyssey or integer-scale.", "longcat", "rtn", "fptq", "odyssey", "integer-scale");
    private readonly Option<string?> _calibration = new("--calibration") { Description = "A file of JSON objects, one a line: what the model reads for calibration. Without it, random tokens where the recipe needs any." };
    private readonly Option<string> _column = new("--column") { Description = "The field of --calibration with the text; text when left out." };
    private readonly Option<bool> _dataFree = new("--data-free") { Description = "Calibrate on random tokens, also where the recipe does not need it." };
    private readonly Option<int?> _samples = Number("--samples", $"The most calibration rows; {CalibrationData.DefaultSamples} when left out.", value => value is >= 1 and <= 1 << 20, "1 to 1048576");
    private readonly Option<int?> _sampleTokens = Number("--sample-tokens", $"The most tokens of a row; {CalibrationData.DefaultSampleTokens} when left out.", value => value is >= 1 and <= 1 << 20, "1 to 1048576");
    private readonly Option<int?> _groupSize = Number(
        "--group-size", "Weights of a row that share a scale: a multiple of 32 from 32 to 256, or 0 for one scale per channel.", value => value == 0 || (value is >= 32 and <= 256 && value % 32 == 0), "a multiple of 32 from 32 to 256, or 0");
    private readonly Option<string> _scales = Choice("--scales", "How group scales are kept: two-level, two-level-15, integer or channel.", "two-level", "two-level-15", "integer", "channel");
    private readonly Option<int?> _amplifier = Number("--amplifier", "--scales integer: the amplifier, 1 to 16777216, or 0 to search one for each matrix; 1024 when left out.", value => value is >= 0 and <= 1 << 24, "0 to 16777216");
    private readonly Option<string> _activations = Choice("--activations", "Scales of the layers' inputs: dynamic (per token), static, or per-layer (FPTQ's rule).", "dynamic", "static", "per-layer");
    private readonly Option<string> _clip = Choice("--clip", "Whether a group's range may be smaller than its largest weight: none, grid or learned.", "none", "grid", "learned");
    private readonly Option<bool?> _compensate = new("--compensate") { Description = "true or false: compensate the error of each column in the later ones (GPTQ)." };
    private readonly Option<bool?> _equalize = new("--equalize") { Description = "true or false: fold FPTQ's logarithmic equalization into the norms." };
    private readonly Option<bool> _keepExperts = new("--keep-experts") { Description = "Leave the experts of mixtures in the checkpoint's precision." };
    private readonly Option<string> _head = Choice("--head", "The output head: int8 (the default) or own, the checkpoint's precision.", "int8", "own");
    private readonly Option<string> _tables = Choice("--ngram-tables", "N-gram tables: own (the default), the checkpoint's precision, or int8.", "own", "int8");
    private readonly Option<ulong?> _seed = new("--seed") { Description = "Draws calibration rows and random tokens; the same seed gives the same bytes. 0 when left out." };
    private readonly Option<int?> _memory = Number("--calibration-memory", "MiB of sums (Gram matrices) held at once; beyond it the rows run several times. A quarter of the memory when left out.", value => value >= 1, "1 or more");
    private readonly Option<int?> _threads = Number("--calibration-threads", "Threads of the calibration; 0, the default, takes every core.", value => value >= 0, "0 or more");
    private readonly List<Option> _all;

    public QuantizationArguments() => _all =
    [
        _recipe, _calibration, _column, _dataFree, _samples, _sampleTokens, _groupSize, _scales, _amplifier, _activations, _clip, _compensate, _equalize, _keepExperts, _head, _tables, _seed, _memory, _threads,
    ];

    public void AddTo(Command command) => _all.ForEach(command.Options.Add);

    /// <summary>The first of the options that was given, or null.</summary>
    public string? FirstGiven(ParseResult result) => _all.FirstOrDefault(option => result.GetResult(option) is { Implicit: false })?.Name;

    /// <exception cref="UsageException">Two options contradict each other.</exception>
    public QuantizationOptions Options(ParseResult result)
    {
        try
        {
            return new QuantizationOptions
            {
                Recipe = result.GetValue(_recipe) switch
                {
                    "rtn" => QuantizationRecipe.RoundToNearest,
                    "fptq" => QuantizationRecipe.Fptq,
                    "odyssey" => QuantizationRecipe.Odyssey,
                    "integer-scale" => QuantizationRecipe.IntegerScale,
                    _ => QuantizationRecipe.LongCat,
                },
                GroupSize = result.GetValue(_groupSize),
                Scaling = result.GetValue(_scales) switch
                {
                    "two-level" => WeightScaling.TwoLevel,
                    "two-level-15" => WeightScaling.TwoLevelNarrow,
                    "integer" => WeightScaling.IntegerScale,
                    "channel" => WeightScaling.PerChannel,
                    _ => null,
                },
                Amplifier = result.GetValue(_amplifier),
                Activations = result.GetValue(_activations) switch
                {
                    "dynamic" => ActivationScheme.Dynamic,
                    "static" => ActivationScheme.Static,
                    "per-layer" => ActivationScheme.PerLayer,
                    _ => null,
                },
                Clipping = result.GetValue(_clip) switch
                {
                    "none" => WeightClipping.None,
                    "grid" => WeightClipping.Grid,
                    "learned" => WeightClipping.Learned,
                    _ => null,
                },
                Compensate = result.GetValue(_compensate),
                Equalize = result.GetValue(_equalize),
                Experts = !result.GetValue(_keepExperts),
                Head = result.GetValue(_head) == "own" ? HeadPrecision.Own : HeadPrecision.Int8,
                NGramTables = result.GetValue(_tables) == "int8" ? TablePrecision.Int8 : TablePrecision.Own,
                Seed = result.GetValue(_seed) ?? 0,
            }.Resolve();
        }
        catch (ArgumentException exception)
        {
            // The parser has checked each value alone: two of them do not fit each other. The parameter's name means nothing on a command line.
            string message = exception.Message;
            int parameter = message.IndexOf(" (Parameter ", StringComparison.Ordinal);
            throw new UsageException(parameter < 0 ? message : message[..parameter]);
        }
    }

    /// <summary>What the model reads; null for what the recipe needs.</summary>
    /// <exception cref="UsageException">Options that exclude each other.</exception>
    public CalibrationData? Data(ParseResult result)
    {
        string? path = result.GetValue(_calibration);
        bool dataFree = result.GetValue(_dataFree);
        if (path is not null && dataFree)
        {
            throw new UsageException("give either --calibration or --data-free");
        }

        if (path is null && result.GetResult(_column) is { Implicit: false })
        {
            throw new UsageException("--column names a field of --calibration, which is not given");
        }

        int samples = result.GetValue(_samples) ?? CalibrationData.DefaultSamples, tokens = result.GetValue(_sampleTokens) ?? CalibrationData.DefaultSampleTokens;
        return path is not null ? CalibrationData.FromJsonLines(path, result.GetValue(_column) ?? "text", samples, tokens)
            : dataFree || Options(result).NeedsStatistics ? CalibrationData.RandomTokens(samples, tokens)
            : null;
    }

    public CalibrationOptions Runtime(ParseResult result) => new()
    {
        Threads = result.GetValue(_threads) ?? 0,
        MemoryBudgetBytes = (long)(result.GetValue(_memory) ?? 0) * MiB,
    };

    private static Option<string> Choice(string name, string description, params string[] values)
    {
        Option<string> option = new(name) { Description = description };
        option.AcceptOnlyFromAmong(values);
        return option;
    }

    private static Option<int?> Number(string name, string description, Func<int?, bool> accepts, string expected) =>
        EngineArguments.Number<int?>(name, description, null, accepts, expected);
}
