using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.Optimization;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>The options that every fine-tuning has: rows, output, steps, rates, evaluations, states.</summary>
internal sealed class FineTuningArguments
{
    private static readonly FineTuningOptions s_defaults = new();
    private readonly Argument<string> _checkpoint;
    private readonly Option<string> _train = new("--train") { Description = "A file of JSON objects, one a line.", Required = true };
    private readonly Option<string?> _validation = new("--validation") { Description = "Such a file to evaluate on." };
    private readonly Option<double> _validationShare = TrainingArguments.Number("--validation-share", "Without --validation: the share of rows to set aside for it, chosen by --seed.", 0, v => v is >= 0 and < 1, "0 (none) or more, below 1");
    private readonly Option<string> _output;
    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Replace an earlier result in the output folder." };
    private readonly Option<bool> _resume = new("--resume") { Description = "Continue from the newest state beside the output (OUTPUT.state); without one begin anew." };
    private readonly ExampleArguments _data = new();
    private readonly Option<long?> _steps = new("--steps") { Description = "Steps; without it --epochs." };
    private readonly Option<double> _epochs = TrainingArguments.Number("--epochs", "How often each row is seen.", s_defaults.Epochs, v => v > 0, "above 0");
    private readonly Option<int> _batch = TrainingArguments.Whole("--batch", "Packed rows of a forward pass.", s_defaults.BatchRows, least: 1);
    private readonly Option<int> _columns = TrainingArguments.Whole("--columns", "Tokens per packed row.", s_defaults.Columns, least: 8);
    private readonly Option<int> _accumulate = TrainingArguments.Whole("--accumulate", "Forward passes per step.", s_defaults.AccumulationSteps, least: 1);
    private readonly Option<double> _rate = TrainingArguments.Number("--learning-rate", "The highest learning rate.", s_defaults.LearningRate, v => v > 0, "above 0");
    private readonly Option<int?> _warmup = new("--warmup") { Description = "Steps of the linear warm-up; 3 % of all steps unless given." };
    private readonly Option<LearningRateSchedule> _schedule = new("--schedule") { Description = "cosine, linear or constant after the warm-up.", DefaultValueFactory = _ => s_defaults.Schedule };
    private readonly Option<double> _clip = TrainingArguments.Number("--clip", "Clip the gradients' joint norm to this; 0 switches clipping off.", s_defaults.Optimizer.MaxGradientNorm, v => v >= 0, "0 or more");
    private readonly Option<double> _decay = TrainingArguments.Number("--weight-decay", "Decoupled weight decay.", s_defaults.WeightDecay, v => v >= 0, "0 or more");
    private readonly Option<double> _loraPlus = TrainingArguments.Number("--lora-plus", "LoRA+: what the rate of B is multiplied by.", s_defaults.LoraPlusRatio, v => v >= 1, "1 or more");
    private readonly Option<int> _patience = TrainingArguments.Whole("--patience", "Stop after so many evaluations without a better validation loss; 0 never.", s_defaults.Patience, least: 0);
    private readonly Option<int> _evaluateEvery = TrainingArguments.Whole("--evaluate-every", "Steps between evaluations; 0 evaluates at the end only.", s_defaults.EvaluateEvery, least: 0);
    private readonly Option<ulong> _seed = new("--seed") { Description = "Seed of the adapter, the data order and dropout.", DefaultValueFactory = _ => s_defaults.Seed };
    private readonly Option<int> _threads = TrainingArguments.Threads();
    private readonly Option<int> _saveEvery = TrainingArguments.Whole("--save-every", "Steps between states to resume from; 0 saves one only on Ctrl-C.", s_defaults.SaveEvery, least: 0);

    /// <param name="checkpoint">What the checkpoint must be.</param>
    /// <param name="output">What the output will hold.</param>
    public FineTuningArguments(string checkpoint, string output)
    {
        _checkpoint = new("checkpoint") { Description = checkpoint };
        _output = new("--output", "-o") { Description = output, Required = true };
    }

    public void AddTo(Command command)
    {
        command.Arguments.Add(_checkpoint);
        foreach (Option option in new Option[]
        {
            _train, _validation, _validationShare, _output, _overwrite, _resume, _steps, _epochs, _batch, _columns, _accumulate, _rate, _warmup, _schedule, _clip, _decay, _loraPlus,
            _patience, _evaluateEvery, _seed, _threads, _saveEvery,
        })
        {
            command.Options.Add(option);
        }

        _data.AddTo(command);
    }

    public ulong Seed(ParseResult result) => result.GetValue(_seed);

    /// <summary>Trains as the options say.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="adjust">Adds what the command has beyond these options.</param>
    /// <param name="cancellationToken">Stops after the current step.</param>
    /// <returns>The exit code.</returns>
    /// <exception cref="UsageException">Options are out of range, or do not go together.</exception>
    public int Run(ParseResult result, Func<FineTuningOptions, FineTuningOptions> adjust, CancellationToken cancellationToken)
    {
        var examples = _data.Read(result);
        var options = adjust(new FineTuningOptions
        {
            Steps = result.GetValue(_steps),
            Epochs = result.GetValue(_epochs),
            BatchRows = result.GetValue(_batch),
            Columns = result.GetValue(_columns),
            AccumulationSteps = result.GetValue(_accumulate),
            Overlong = examples.Overlong,
            LossOnPrompt = examples.LossOnPrompt,
            LearningRate = result.GetValue(_rate),
            LoraPlusRatio = result.GetValue(_loraPlus),
            Schedule = result.GetValue(_schedule),
            WarmupSteps = result.GetValue(_warmup),
            WeightDecay = result.GetValue(_decay),
            Optimizer = s_defaults.Optimizer with { MaxGradientNorm = result.GetValue(_clip) },
            EvaluateEvery = result.GetValue(_evaluateEvery),
            Patience = result.GetValue(_patience),
            Seed = result.GetValue(_seed),
            Threads = result.GetValue(_threads),
            SaveEvery = result.GetValue(_saveEvery),
        });
        try
        {
            options.Validate();
            examples.Columns.Validate();
        }
        catch (ArgumentException e)
        {
            throw new UsageException(e.Message);
        }

        double share = result.GetValue(_validationShare);
        string? held = result.GetValue(_validation);
        if (held is not null && share > 0)
        {
            throw new UsageException("give either --validation or --validation-share");
        }

        if (options.Patience > 0 && held is null && share == 0)
        {
            throw new UsageException("--patience needs rows to evaluate on: give --validation or --validation-share");
        }

        var run = new FineTuningRun(result.GetRequiredValue(_checkpoint), result.GetRequiredValue(_output), result.GetValue(_overwrite), result.GetValue(_resume));
        return run.Execute(result.GetRequiredValue(_train), held, share, examples, options, cancellationToken);
    }
}
