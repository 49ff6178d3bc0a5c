using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Modules;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train zigzag calibrate</c>: trains α on texts.</summary>
internal static class ZigZagCalibrateCommand
{
    public static Command Create()
    {
        var defaults = new ZigZagCalibrationOptions();
        Argument<string> checkpoint = new("checkpoint") { Description = "A checkpoint folder in Hugging Face layout, with tokenizer.json." };
        Option<string> train = new("--train") { Description = "A file of JSON objects, one a line, with texts longer than the pattern's span.", Required = true };
        Option<string> text = new("--text") { Description = "The field with a text.", DefaultValueFactory = _ => "text" };
        Option<string?> validation = new("--validation") { Description = "Such a file to measure the loss on." };
        Option<string> badRows = new("--bad-rows") { Description = "A row that cannot be read: fail or skip.", DefaultValueFactory = _ => "fail" };
        badRows.AcceptOnlyFromAmong("fail", "skip");
        Option<string> output = new("--output", "-o") { Description = "The folder to write: zigzag.json and report.html.", Required = true };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an earlier result in the output folder." };
        Option<bool> resume = new("--resume") { Description = "Continue from the newest state beside the output (OUTPUT.state); without one begin anew." };
        Option<int> block = TrainingArguments.Whole("--block-size", "Tokens of a block.", defaults.BlockSize, least: 1);
        Option<int> sinks = TrainingArguments.Whole("--sink-blocks", "Blocks at the start of a text that every query sees.", defaults.SinkBlocks, least: 0);
        Option<int> locals = TrainingArguments.Whole("--local-blocks", "Latest blocks that a query sees, its own included.", defaults.LocalBlocks, least: 1);
        Option<double> alpha = TrainingArguments.Number("--alpha", "Every attention's share of full attention at the beginning.", defaults.InitialAlpha, _ => true, "that is finite");
        Option<double> share = TrainingArguments.Number("--share", "The share of attentions that table and report mark; apply may take another.", defaults.Share, v => v is > 0 and <= 1, "above 0, up to 1");
        Option<long> steps = new("--steps") { Description = "Steps.", DefaultValueFactory = _ => defaults.Steps };
        Option<int> batch = TrainingArguments.Whole("--batch", "Packed rows of a forward pass.", defaults.BatchRows, least: 1);
        Option<int?> columns = new("--columns") { Description = "Tokens per packed row; twice the span unless given." };
        Option<int> accumulate = TrainingArguments.Whole("--accumulate", "Forward passes per step.", defaults.AccumulationSteps, least: 1);
        Option<double> rate = TrainingArguments.Number("--learning-rate", "The highest learning rate.", defaults.LearningRate, v => v > 0, "above 0");
        Option<LearningRateSchedule> schedule = new("--schedule") { Description = "cosine, linear or constant after the warm-up.", DefaultValueFactory = _ => defaults.Schedule };
        Option<int> evaluateEvery = TrainingArguments.Whole("--evaluate-every", "Steps between evaluations; 0 evaluates at the end only.", defaults.EvaluateEvery, least: 0);
        Option<string> baseWeights = new("--base") { Description = "How the frozen weights are held: f32, bf16 or w4a8.", DefaultValueFactory = _ => "f32" };
        baseWeights.AcceptOnlyFromAmong("f32", "bf16", "w4a8");
        Option<bool> checkpointing = new("--gradient-checkpointing") { Description = "Compute layers again in the backward pass: less memory, more time." };
        Option<ulong> seed = new("--seed") { Description = "Seed of the order of the texts.", DefaultValueFactory = _ => defaults.Seed };
        Option<int> threads = TrainingArguments.Threads();
        Option<string> device = new("--device") { Description = "cpu, cuda or cuda:n.", DefaultValueFactory = _ => defaults.Device };
        Option<int> saveEvery = TrainingArguments.Whole("--save-every", "Steps between states to resume from; 0 saves one only on Ctrl-C.", defaults.SaveEvery, least: 0);
        Command command = new("calibrate", "Train how much each attention needs full attention (alpha), everything else frozen.")
        {
            checkpoint, train, text, validation, badRows, output, overwrite, resume, block, sinks, locals, alpha, share, steps, batch, columns, accumulate, rate, schedule, evaluateEvery,
            baseWeights, checkpointing, seed, threads, device, saveEvery,
        };
        command.SetAction((result, cancellationToken) =>
        {
            var options = new ZigZagCalibrationOptions
            {
                BlockSize = result.GetValue(block),
                SinkBlocks = result.GetValue(sinks),
                LocalBlocks = result.GetValue(locals),
                InitialAlpha = result.GetValue(alpha),
                Share = result.GetValue(share),
                Steps = result.GetValue(steps),
                BatchRows = result.GetValue(batch),
                Columns = result.GetValue(columns),
                AccumulationSteps = result.GetValue(accumulate),
                LearningRate = result.GetValue(rate),
                Schedule = result.GetValue(schedule),
                EvaluateEvery = result.GetValue(evaluateEvery),
                Base = result.GetValue(baseWeights) switch { "bf16" => BaseWeights.BFloat16, "w4a8" => BaseWeights.W4A8, _ => BaseWeights.Float32 },
                Device = result.GetRequiredValue(device),
                GradientCheckpointing = result.GetValue(checkpointing),
                Seed = result.GetValue(seed),
                Threads = result.GetValue(threads),
                SaveEvery = result.GetValue(saveEvery),
            };
            try
            {
                options.Validate();
            }
            catch (ArgumentException e)
            {
                throw new UsageException(e.Message);
            }

            var run = new ZigZagRun(result.GetRequiredValue(checkpoint), result.GetRequiredValue(output), result.GetValue(overwrite), result.GetValue(resume));
            return Task.FromResult(run.Execute(
                result.GetRequiredValue(train), result.GetValue(validation), result.GetRequiredValue(text), result.GetValue(badRows) == "skip" ? BadRows.Skip : BadRows.Fail, options, cancellationToken));
        });
        return command;
    }
}
