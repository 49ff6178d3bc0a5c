using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary><c>longcat-train zigzag</c>: streaming sparse attention, from the calibration to the checkpoint.</summary>
internal static class ZigZagCommand
{
    public static Command Create() => new("zigzag", "Streaming sparse attention (ZigZag): find the attentions that can do without the middle of the context, and make a checkpoint in which they do.")
    {
        ZigZagCalibrateCommand.Create(),
        Apply(),
    };

    private static Command Apply()
    {
        Argument<string> checkpoint = new("checkpoint") { Description = "A checkpoint folder in Hugging Face layout." };
        Option<string> output = new("--output", "-o") { Description = "The folder to create: the same weights with a changed config.json.", Required = true };
        Option<string?> calibration = new("--calibration") { Description = "The folder (or zigzag.json) of a calibration." };
        Option<StreamingChoice> choose = new("--choose") { Description = "lowest (by the calibration), alternate, random, first or last.", DefaultValueFactory = _ => StreamingChoice.Lowest };
        Option<double> share = TrainingArguments.Number("--share", "The share of attentions to make streaming; a part of an attention is left full.", 0.5, v => v is > 0 and <= 1, "above 0, up to 1");
        Option<ulong> seed = new("--seed") { Description = "Seed of --choose random.", DefaultValueFactory = _ => 1 };
        Option<int?> block = new("--block-size") { Description = "Tokens of a block; 128 unless a calibration says it." };
        Option<int?> sinks = new("--sink-blocks") { Description = "Blocks at the start that every query sees; 1 unless a calibration says it." };
        Option<int?> locals = new("--local-blocks") { Description = "Latest blocks that a query sees; 7 unless a calibration says it." };
        Option<string?> picture = new("--picture") { Description = "An SVG file to draw the calibration's alphas and the choice in; replaced when it exists." };
        Option<int?> positions = new("--max-positions") { Description = "Extend the context to so many tokens by YaRN; fine-tune afterwards." };
        Option<double?> factor = new("--yarn-factor") { Description = "YaRN's factor; --max-positions over the original context unless given." };
        Option<int?> original = new("--original-positions") { Description = "The context that the rotary frequencies were trained with; what config.json says unless given." };
        Command command = new("apply", "Copy a checkpoint with some of its attentions streaming.")
        {
            checkpoint, output, calibration, choose, share, seed, block, sinks, locals, picture, positions, factor, original,
        };
        command.SetAction((result, cancellationToken) =>
        {
            string folder = result.GetRequiredValue(checkpoint);
            var choice = result.GetValue(choose);
            (int? Block, int? Sinks, int? Locals) pattern = (result.GetValue(block), result.GetValue(sinks), result.GetValue(locals));
            if (result.GetValue(positions) is null && (result.GetValue(factor) is not null || result.GetValue(original) is not null))
            {
                throw new UsageException("--yarn-factor and --original-positions go with --max-positions, which says how long the context becomes");
            }

            if (result.GetValue(calibration) is null && choice == StreamingChoice.Lowest)
            {
                throw new UsageException("--choose lowest needs --calibration (see longcat-train zigzag calibrate); alternate, random, first and last do without");
            }

            if (result.GetValue(calibration) is not null && pattern is not (null, null, null))
            {
                throw new UsageException("--block-size, --sink-blocks and --local-blocks are the calibration's; give them without --calibration");
            }

            if (result.GetValue(calibration) is null && result.GetValue(picture) is not null)
            {
                throw new UsageException("--picture draws what a calibration found; give --calibration too");
            }

            var config = ModelConfig.Load(folder);
            var found = result.GetValue(calibration) is string path ? ZigZagCalibration.Load(path) : null;
            found?.Require(config);
            IReadOnlyList<int> candidates = found is null ? StreamingSelection.Candidates(config) : [.. found.Attentions.Select(entry => entry.Attention)];
            IReadOnlyList<int> chosen = choice == StreamingChoice.Lowest
                ? StreamingSelection.Lowest(found!.Attentions, result.GetValue(share))
                : StreamingSelection.Choose(candidates, result.GetValue(share), choice, result.GetValue(seed));
            var defaults = new ZigZagCalibrationOptions();
            var streaming = found?.Pattern(chosen) ?? new StreamingAttentionConfig
            {
                BlockSize = pattern.Block ?? defaults.BlockSize,
                SinkBlocks = pattern.Sinks ?? defaults.SinkBlocks,
                LocalBlocks = pattern.Locals ?? defaults.LocalBlocks,
                AttentionLayers = chosen,
            };
            ContextExtension? extension = result.GetValue(positions) is int longest
                ? new ContextExtension { MaxPositions = longest, YarnFactor = result.GetValue(factor), OriginalPositions = result.GetValue(original) } : null;
            var written = SparseCheckpoint.Write(folder, streaming, extension, result.GetRequiredValue(output), cancellationToken);
            AttentionTable.Print(Console.Out, written, candidates, found?.Attentions, chosen);
            if (result.GetValue(picture) is string drawn)
            {
                File.WriteAllText(drawn, found!.Picture(chosen));
                Console.WriteLine($"picture: {drawn}");
            }

            Console.WriteLine($"written: {result.GetRequiredValue(output)}; fine-tune it with longcat-train lora (--method full for all weights)");
            return Task.FromResult(CommandHost.Success);
        });
        return command;
    }
}
