using System.CommandLine;
using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.Optimization;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train lora</c>: an adapter (or all weights) from a file of JSON lines.</summary>
internal static class LoraCommand
{
    public static Command Create()
    {
        var defaults = new FineTuningOptions();
        Argument<string> checkpoint = new("checkpoint") { Description = "A checkpoint folder in Hugging Face layout, with tokenizer.json." };
        Option<string> train = new("--train") { Description = "A file of JSON objects, one a line.", Required = true };
        Option<string?> validation = new("--validation") { Description = "Such a file to evaluate on." };
        Option<double> validationShare = TrainingArguments.Number("--validation-share", "Without --validation: the share of rows to set aside for it, chosen by --seed.", 0, v => v is >= 0 and < 1, "0 (none) or more, below 1");
        Option<string> output = new("--output", "-o") { Description = "The folder to write: PEFT's layout and report.html; after --method full a checkpoint.", Required = true };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an earlier result in the output folder." };
        Option<bool> resume = new("--resume") { Description = "Continue from the newest state beside the output (OUTPUT.state); without one begin anew." };
        var data = new ExampleArguments();
        var adapter = new AdapterArguments();
        Option<long?> steps = new("--steps") { Description = "Steps; without it --epochs." };
        Option<double> epochs = TrainingArguments.Number("--epochs", "How often each row is seen.", defaults.Epochs, v => v > 0, "above 0");
        Option<int> batch = TrainingArguments.Whole("--batch", "Packed rows of a forward pass.", defaults.BatchRows, least: 1);
        Option<int> columns = TrainingArguments.Whole("--columns", "Tokens per packed row.", defaults.Columns, least: 8);
        Option<int> accumulate = TrainingArguments.Whole("--accumulate", "Forward passes per step.", defaults.AccumulationSteps, least: 1);
        Option<double> rate = TrainingArguments.Number("--learning-rate", "The highest learning rate.", defaults.LearningRate, v => v > 0, "above 0");
        Option<int?> warmup = new("--warmup") { Description = "Steps of the linear warm-up; 3 % of all steps unless given." };
        Option<LearningRateSchedule> schedule = new("--schedule") { Description = "cosine, linear or constant after the warm-up.", DefaultValueFactory = _ => defaults.Schedule };
        Option<double> clip = TrainingArguments.Number("--clip", "Clip the gradients' joint norm to this; 0 switches clipping off.", defaults.Optimizer.MaxGradientNorm, v => v >= 0, "0 or more");
        Option<double> decay = TrainingArguments.Number("--weight-decay", "Decoupled weight decay.", defaults.WeightDecay, v => v >= 0, "0 or more");
        Option<double> loraPlus = TrainingArguments.Number("--lora-plus", "LoRA+: what the rate of B is multiplied by.", defaults.LoraPlusRatio, v => v >= 1, "1 or more");
        Option<int> patience = TrainingArguments.Whole("--patience", "Stop after so many evaluations without a better validation loss; 0 never.", defaults.Patience, least: 0);
        Option<int> evaluateEvery = TrainingArguments.Whole("--evaluate-every", "Steps between evaluations; 0 evaluates at the end only.", defaults.EvaluateEvery, least: 0);
        Option<string> baseWeights = new("--base") { Description = "How the frozen weights are held: f32, bf16 or w4a8.", DefaultValueFactory = _ => "f32" };
        baseWeights.AcceptOnlyFromAmong("f32", "bf16", "w4a8");
        Option<bool> checkpointing = new("--gradient-checkpointing") { Description = "Compute layers again in the backward pass: less memory, more time." };
        Option<ulong> seed = new("--seed") { Description = "Seed of the adapter, the data order and dropout.", DefaultValueFactory = _ => defaults.Seed };
        Option<int> threads = TrainingArguments.Threads();
        Option<string> device = new("--device") { Description = "cpu, cuda or cuda:n.", DefaultValueFactory = _ => defaults.Device };
        Option<int> saveEvery = TrainingArguments.Whole("--save-every", "Steps between states to resume from; 0 saves one only on Ctrl-C.", defaults.SaveEvery, least: 0);
        Command command = new("lora", "Fine-tune a model on a file of JSON lines: LoRA, rsLoRA, DoRA, PiSSA, AFA-LoRA, or all weights.")
        {
            checkpoint, train, validation, validationShare, output, overwrite, resume, steps, epochs, batch, columns, accumulate, rate, warmup, schedule, clip, decay, loraPlus,
            patience, evaluateEvery, baseWeights, checkpointing, seed, threads, device, saveEvery,
        };
        data.AddTo(command);
        adapter.AddTo(command);
        command.SetAction((result, cancellationToken) =>
        {
            var examples = data.Read(result);
            var options = new FineTuningOptions
            {
                Lora = adapter.Read(result, result.GetValue(seed)),
                Base = result.GetValue(baseWeights) switch { "bf16" => BaseWeights.BFloat16, "w4a8" => BaseWeights.W4A8, _ => BaseWeights.Float32 },
                Steps = result.GetValue(steps),
                Epochs = result.GetValue(epochs),
                BatchRows = result.GetValue(batch),
                Columns = result.GetValue(columns),
                AccumulationSteps = result.GetValue(accumulate),
                Overlong = examples.Overlong,
                LossOnPrompt = examples.LossOnPrompt,
                LearningRate = result.GetValue(rate),
                LoraPlusRatio = result.GetValue(loraPlus),
                Schedule = result.GetValue(schedule),
                WarmupSteps = result.GetValue(warmup),
                WeightDecay = result.GetValue(decay),
                Optimizer = defaults.Optimizer with { MaxGradientNorm = result.GetValue(clip) },
                EvaluateEvery = result.GetValue(evaluateEvery),
                Patience = result.GetValue(patience),
                Device = result.GetRequiredValue(device),
                GradientCheckpointing = result.GetValue(checkpointing),
                Seed = result.GetValue(seed),
                Threads = result.GetValue(threads),
                SaveEvery = result.GetValue(saveEvery),
            };
            try
            {
                options.Validate();
                examples.Columns.Validate();
            }
            catch (ArgumentException e)
            {
                throw new UsageException(e.Message);
            }

            double share = result.GetValue(validationShare);
            string? held = result.GetValue(validation);
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
