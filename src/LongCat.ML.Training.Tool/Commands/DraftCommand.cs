using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train draft</c>: the multi-token-prediction head of a checkpoint from a file of JSON lines, everything else frozen.</summary>
internal static class DraftCommand
{
    public static Command Create()
    {
        var defaults = new FineTuningOptions();
        Argument<string> checkpoint = new("checkpoint") { Description = "A LongCat checkpoint folder in Hugging Face layout, with tokenizer.json and a draft head (model.mtp tensors)." };
        Option<string> head = new("--head") { Description = "What to train: mtp, the multi-token-prediction head. A draft model of its own is trained with longcat-train lora.", Required = true };
        head.AcceptOnlyFromAmong("mtp");
        Option<string> train = new("--train") { Description = "A file of JSON objects, one a line: best what the model itself has written.", Required = true };
        Option<string?> validation = new("--validation") { Description = "Such a file to evaluate on." };
        Option<double> validationShare = TrainingArguments.Number("--validation-share", "Without --validation: the share of rows to set aside for it, chosen by --seed.", 0, v => v is >= 0 and < 1, "0 (none) or more, below 1");
        Option<string> output = new("--output", "-o") { Description = "The folder to write: the checkpoint with the trained head, and report.html.", Required = true };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an earlier result in the output folder." };
        Option<bool> resume = new("--resume") { Description = "Continue from the newest state beside the output (OUTPUT.state); without one begin anew." };
        var data = new ExampleArguments();
        Option<long?> steps = new("--steps") { Description = "Steps; without it --epochs." };
        Option<double> epochs = TrainingArguments.Number("--epochs", "How often each row is seen.", defaults.Epochs, v => v > 0, "above 0");
        Option<int> batch = TrainingArguments.Whole("--batch", "Packed rows of a forward pass.", defaults.BatchRows, least: 1);
        Option<int> columns = TrainingArguments.Whole("--columns", "Tokens per packed row.", defaults.Columns, least: 8);
        Option<int> accumulate = TrainingArguments.Whole("--accumulate", "Forward passes per step.", defaults.AccumulationSteps, least: 1);
        Option<double> rate = TrainingArguments.Number("--learning-rate", "The highest learning rate.", defaults.LearningRate, v => v > 0, "above 0");
        Option<double> decay = TrainingArguments.Number("--weight-decay", "Decoupled weight decay.", defaults.WeightDecay, v => v >= 0, "0 or more");
        Option<int> patience = TrainingArguments.Whole("--patience", "Stop after so many evaluations without a better validation loss; 0 never.", defaults.Patience, least: 0);
        Option<int> evaluateEvery = TrainingArguments.Whole("--evaluate-every", "Steps between evaluations; 0 evaluates at the end only.", defaults.EvaluateEvery, least: 0);
        Option<ulong> seed = new("--seed") { Description = "Seed of the data order.", DefaultValueFactory = _ => defaults.Seed };
        Option<int> threads = TrainingArguments.Threads();
        Option<int> saveEvery = TrainingArguments.Whole("--save-every", "Steps between states to resume from; 0 saves one only on Ctrl-C.", defaults.SaveEvery, least: 0);
        Command command = new("draft", "Train the draft head of a LongCat checkpoint, which speculative decoding proposes with; everything else stays as it is.")
        {
            checkpoint, head, train, validation, validationShare, output, overwrite, resume, steps, epochs, batch, columns, accumulate, rate, decay, patience, evaluateEvery, seed, threads, saveEvery,
        };
        data.AddTo(command);
        command.SetAction((result, cancellationToken) =>
        {
            var examples = data.Read(result);
            var options = new FineTuningOptions
            {
                Lora = null,
                DraftHead = true,
                Steps = result.GetValue(steps),
                Epochs = result.GetValue(epochs),
                BatchRows = result.GetValue(batch),
                Columns = result.GetValue(columns),
                AccumulationSteps = result.GetValue(accumulate),
                Overlong = examples.Overlong,
                LossOnPrompt = examples.LossOnPrompt,
                LearningRate = result.GetValue(rate),
                WeightDecay = result.GetValue(decay),
                EvaluateEvery = result.GetValue(evaluateEvery),
                Patience = result.GetValue(patience),
                Seed = result.GetValue(seed),
                Threads = result.GetValue(threads),
                SaveEvery = result.GetValue(saveEvery),
            };
            double share = result.GetValue(validationShare);
            string? held = result.GetValue(validation);
            try
            {
                options.Validate();
                examples.Columns.Validate();
            }
            catch (ArgumentException e)
            {
                throw new UsageException(e.Message);
            }

            if (held is not null && share > 0)
            {
                throw new UsageException("give either --validation or --validation-share");
            }

            if (options.Patience > 0 && held is null && share == 0)
            {
                throw new UsageException("--patience needs rows to evaluate on: give --validation or --validation-share");
            }

            var run = new LoraRun(result.GetRequiredValue(checkpoint), result.GetRequiredValue(output), result.GetValue(overwrite), result.GetValue(resume));
            return Task.FromResult(run.Execute(result.GetRequiredValue(train), held, share, examples, options, cancellationToken));
        });
        return command;
    }
}
