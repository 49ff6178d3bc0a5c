using System.CommandLine;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Modules;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Pretraining;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train pretrain</c>: a model from scratch on the SDK's documentation.</summary>
internal static class PretrainCommand
{
    private static readonly string[] s_tokenizerFiles = ["tokenizer.json", "tokenizer_config.json"];

    public static Command Create()
    {
        var defaults = new PretrainingOptions();
        Option<string> config = new("--config") { Description = "nano, or a config.json (or its folder).", DefaultValueFactory = _ => "nano" };
        Option<string> output = new("--output", "-o") { Description = "The run's folder: state, log, loss curve, tokenizer and checkpoint.", Required = true };
        Option<string?> tokenizer = new("--tokenizer") { Description = "A folder with tokenizer.json; without it one is trained into the run's folder." };
        Option<long?> steps = new("--steps") { Description = "End after this many steps." };
        Option<long?> tokens = new("--tokens") { Description = "End after this many training tokens." };
        Option<double?> minutes = new("--minutes") { Description = "End after this much training time." };
        Option<bool> resume = new("--resume") { Description = "Continue from the newest state of the run's folder." };
        Option<int> threads = TrainingArguments.Threads();
        Option<double> rate = new("--learning-rate") { Description = "The highest learning rate.", DefaultValueFactory = _ => defaults.PeakLearningRate };
        Option<double> embeddingFactor = new("--embedding-rate-factor") { Description = "What the rate of embeddings and n-gram tables is multiplied by.", DefaultValueFactory = _ => defaults.EmbeddingRateFactor };
        Option<int> rows = new("--rows") { Description = "Packed rows per step.", DefaultValueFactory = _ => defaults.Rows };
        Option<int> columns = new("--columns") { Description = "Tokens per packed row.", DefaultValueFactory = _ => defaults.Columns };
        Option<ulong> seed = new("--seed") { Description = "Seed of weights and data order.", DefaultValueFactory = _ => defaults.Seed };
        Command command = new("pretrain", "Train a LongCat model from scratch on the SDK's documentation.")
        {
            config, output, tokenizer, steps, tokens, minutes, resume, threads, rate, embeddingFactor, rows, columns, seed,
        };
        command.SetAction((result, cancellationToken) =>
        {
            var budget = new TrainingBudget { Steps = result.GetValue(steps), Tokens = result.GetValue(tokens), Minutes = result.GetValue(minutes) };
            if (budget is { Steps: null, Tokens: null, Minutes: null })
            {
                throw new UsageException("give at least one of --steps, --tokens and --minutes");
            }

            if (budget.Steps <= 0 || budget.Tokens <= 0 || budget.Minutes <= 0 || result.GetValue(rows) < 1 || result.GetValue(columns) < 8 || result.GetValue(rate) <= 0)
            {
                throw new UsageException("--steps, --tokens, --minutes, --rows and --learning-rate must be above 0, --columns 8 or more");
            }

            var options = defaults with
            {
                Budget = budget,
                Threads = result.GetValue(threads),
                PeakLearningRate = result.GetValue(rate),
                EmbeddingRateFactor = result.GetValue(embeddingFactor),
                Rows = result.GetValue(rows),
                DraftRows = Math.Max(1, result.GetValue(rows) / 2),
                Columns = result.GetValue(columns),
                Seed = result.GetValue(seed),
            };
            return Task.FromResult(Run(result.GetValue(config)!, result.GetRequiredValue(output), result.GetValue(tokenizer), options, result.GetValue(resume), cancellationToken));
        });
        return command;
    }

    private static int Run(string source, string folder, string? tokenizerFolder, PretrainingOptions options, bool resume, CancellationToken cancellationToken)
    {
        TorchRuntime.Configure(options.Threads);
        var (config, json) = NanoConfig.Read(source);
        if (!resume && TrainingState.Newest(Path.Combine(folder, "state")) is not null)
        {
            throw new UsageException($"{folder} already holds a run; continue it with --resume or choose another folder");
        }

        var corpus = TrainingCorpus.Read();
        if (tokenizerFolder is null)
        {
            tokenizerFolder = Path.Combine(folder, "tokenizer");
            if (!File.Exists(Path.Combine(tokenizerFolder, "tokenizer.json")))
            {
                TokenizerCommand.Train(corpus.Train.Select(d => d.Text), config.VocabSize, tokenizerFolder);
            }
        }

        var tokenizer = HuggingFaceTokenizer.Load(tokenizerFolder);
        int padding = TrainingCorpus.EndOfSequence(config);
        var training = TrainingCorpus.Encode(tokenizer, corpus.Train, config);
        var heldOut = PackedRows.Pack(TrainingCorpus.Encode(tokenizer, corpus.HeldOut, config), options.Columns, seed: 0);
        using var model = LongcatFlashForCausalLM.Create(config);
        WeightInitializer.Initialize(model, options.Seed);
        using var trainer = new Pretrainer(model, training, options, padding);
        var run = new PretrainingRun(folder, json, trainer, heldOut, padding);
        Directory.CreateDirectory(run.CheckpointFolder);
        foreach (string file in s_tokenizerFiles)
        {
            File.Copy(Path.Combine(tokenizerFolder, file), Path.Combine(run.CheckpointFolder, file), overwrite: true);
        }

        Print($"{training.Documents.Count} training documents of {training.TokenCount} tokens, {heldOut.Count} held-out rows, {model.named_parameters().Sum(p => p.parameter.NumberOfElements) / 1e6:F2} M parameters");
        if (resume)
        {
            Print(run.Resume() ? $"resumed at step {trainer.Steps}" : $"no state in {run.StateFolder}; starting anew");
        }

        var report = run.Train(Print, cancellationToken);
        if (report is null)
        {
            return CommandHost.Interrupted;
        }

        Print(FormattableString.Invariant($"done: {trainer.Steps} steps, {trainer.Tokens} tokens, held-out loss {report.Loss:F4}, perplexity {report.Perplexity:F3}, draft agreement {report.DraftAgreement * 100:F1}%; checkpoint in {run.CheckpointFolder}"));
        return CommandHost.Success;
    }

    private static void Print(FormattableString line) => Print(line.ToString(CultureInfo.InvariantCulture));

    private static void Print(string line) => Console.WriteLine(line);
}
