using System.CommandLine;
using System.Globalization;
using LongCat.ML.Calibration;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;
using LongCat.ML.Inference.Calibration;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat calibrate-sparse</c>: measures what sparse verification must know of a model and writes it beside the model.</summary>
internal static class CalibrateSparseCommand
{
    private const string TokenizerFile = "tokenizer.json";

    public static Command Create()
    {
        AttentionBudget budget = new();
        SparseCalibrationOptions initially = new();
        Argument<string> folder = new("folder") { Description = "An ONNX folder written by longcat export --sparse-verification." };
        Option<string> input = new("--input") { Description = "A file of JSON objects, one a line: texts like those that will be verified.", Required = true };
        Option<string> column = new("--column") { Description = "The field with the text.", DefaultValueFactory = _ => "text" };
        Option<int> samples = EngineArguments.Number("--samples", "The most rows that are read.", 64, value => value >= 1, "1 or more");
        Option<int> tokens = EngineArguments.Number("--sample-tokens", "The most tokens of a row; at most the model's longest context.", 8192, value => value >= 1, "1 or more");
        Option<int> block = EngineArguments.Number("--block", "Tokens of a block of keys, a multiple of 16.", budget.BlockSize, value => value is >= 16 and <= 1 << 16 && value % 16 == 0, "a multiple of 16 from 16 to 65536");
        Option<double> share = EngineArguments.Number("--attention", "The share of the context that attentions read while they are compared.", budget.Rho, value => value is >= 0 and <= 1, "0 to 1");
        Option<double> anchors = EngineArguments.Number("--anchor-threshold", "An attention whose blocks are less similar to its anchor's (Jaccard) becomes an anchor.", initially.AnchorThreshold, value => value is >= 0 and <= 1, "0 to 1");
        Option<int> threads = EngineArguments.Threads();
        Command command = new("calibrate-sparse", $"Measure what sparse verification must know of a model: writes {SparseCalibration.FileName} into its folder.")
        {
            folder, input, column, samples, tokens, block, share, anchors, threads,
        };
        command.SetAction((result, cancellationToken) =>
        {
            string model = result.GetRequiredValue(folder);
            IReadOnlyList<IReadOnlyList<int>> sequences = Read(model, result.GetRequiredValue(input), result.GetRequiredValue(column), result.GetValue(samples), result.GetValue(tokens), result.InvocationConfiguration.Error);
            SparseCalibration calibration;
            using (ProgressLine line = new("calibrate", " tokens"))
            {
                calibration = SparseCalibrator.Measure(
                    model,
                    sequences,
                    new SparseCalibrationOptions
                    {
                        Attention = budget with { BlockSize = result.GetValue(block), Rho = result.GetValue(share) },
                        AnchorThreshold = result.GetValue(anchors),
                        Threads = result.GetValue(threads),
                    },
                    new Lines(line),
                    cancellationToken);
            }

            string path = Path.Combine(model, SparseCalibration.FileName);
            calibration.Save(path);
            result.InvocationConfiguration.Output.Write(Summary(path, calibration));
            return Task.FromResult(CommandHost.Success);
        });
        return command;
    }

    private static List<IReadOnlyList<int>> Read(string folder, string input, string column, int samples, int tokens, TextWriter error)
    {
        ModelManifest manifest = ModelManifest.Read(folder);
        HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.Load(Path.Combine(folder, TokenizerFile));
        int longest = Math.Min(tokens, manifest.MaxPositions);
        List<IReadOnlyList<int>> sequences = [];
        int unusable = 0;
        string? first = null;
        foreach (CalibrationRow row in JsonLineRows.Read(input, column))
        {
            IReadOnlyList<int> ids = row.Text is null ? [] : tokenizer.Encode(row.Text);
            if (ids.Count == 0)
            {
                unusable++;
                first ??= row.Problem ?? "a row without text";
                continue;
            }

            sequences.Add([.. ids.Take(longest)]);
            if (sequences.Count == samples)
            {
                break;
            }
        }

        if (sequences.Count == 0)
        {
            throw new InvalidDataException($"{input}: no row has a text{(first is null ? "" : $"; the first of {unusable}: {first}")}");
        }

        if (unusable > 0)
        {
            error.WriteLine($"note: {unusable} rows were passed over; the first: {first}");
        }

        return sequences;
    }

    private static string Summary(string path, SparseCalibration calibration)
    {
        CultureInfo invariant = CultureInfo.InvariantCulture;
        List<string> lines = [string.Create(invariant, $"{path}: {calibration.Tokens} tokens, {calibration.Choices} choices of blocks")];
        lines.Add(calibration.Choices == 0
            ? "anchors     all: no text was long enough for a choice"
            : string.Create(invariant, $"anchors     {calibration.Anchors.Count} of {calibration.Similarity.Count} attentions: {string.Join(", ", calibration.Anchors)}"));
        for (int i = 0; i < calibration.ExpertShares.Count; i++)
        {
            lines.Add(string.Create(invariant, $"experts {i,3} {string.Join(' ', calibration.ExpertShares[i].Select(value => value.ToString("0.000", invariant)))} (share of the least 1, 2, …)"));
        }

        foreach (ChannelActivity activity in calibration.Activity)
        {
            lines.Add(string.Create(invariant, $"channels    {string.Join(", ", calibration.Thresholds.Zip(activity.Below, (threshold, below) => $"{below:P1} below {threshold}"))} ({activity.Network})"));
        }

        return string.Join(Environment.NewLine, lines) + Environment.NewLine;
    }

    private sealed class Lines(ProgressLine line) : IProgress<CalibrationProgress>
    {
        public void Report(CalibrationProgress value) => line.Report(value.TokensDone, value.TokensTotal);
    }
}
