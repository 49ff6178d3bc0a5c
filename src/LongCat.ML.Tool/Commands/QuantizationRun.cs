using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;

namespace LongCat.ML.Tool.Commands;

/// <summary>Quantizes with progress lines and says what was done: what <c>quantize</c> and <c>export --precision w4a8</c> have in common.</summary>
internal static class QuantizationRun
{
    public static int Run(ParseResult result, QuantizationArguments arguments, string checkpoint, string output, ExportOptions export, CancellationToken cancellationToken)
    {
        if (export.Operators == OperatorSet.Standard)
        {
            throw new UsageException("--precision w4a8 goes with the longcat operators; with --ops standard there is int4");
        }

        QuantizationOptions options = arguments.Options(result);
        CalibrationData? data = arguments.Data(result);
        QuantizationResult done;
        using (Progress progress = new())
        {
            done = ModelQuantizer.Quantize(checkpoint, output, options, data, export, arguments.Runtime(result), progress, cancellationToken);
        }

        TextWriter error = result.InvocationConfiguration.Error;
        if (done.Calibration is { Unusable: > 0 } summary)
        {
            error.WriteLine($"note: {summary.Unusable} of {summary.Rows} calibration rows were passed over; the first: {summary.FirstUnusable}");
        }

        TextWriter text = result.InvocationConfiguration.Output;
        text.WriteLine($"{done.Folder}: {done.Export.TensorCount} tensors, {ProgressLine.Scaled(done.Export.DataBytes)}B in {done.Elapsed.TotalSeconds:0.0} s");
        text.WriteLine($"w4a8, recipe {options.Recipe}, {(options.GroupSize == 0 ? "one scale per channel" : $"groups of {options.GroupSize}")}, {Words(done.Calibration)}; per matrix: {QuantizationReport.JsonName}");
        return CommandHost.Success;
    }

    private static string Words(CalibrationSummary? calibration) => calibration switch
    {
        null => "no calibration",
        { DataFree: true } => $"calibrated on {calibration.Tokens} random tokens",
        _ => $"calibrated on {calibration.Tokens} tokens of {calibration.Samples} rows ({calibration.Rows} read, {calibration.Cut} cut, {calibration.Duplicates} duplicates, {calibration.Unusable} unusable)",
    };

    /// <summary>A line for each stage; reports on the working thread.</summary>
    private sealed class Progress : IProgress<QuantizationProgress>, IDisposable
    {
        private QuantizationStage? _stage;
        private ProgressLine? _line;

        public void Report(QuantizationProgress value)
        {
            if (_stage != value.Stage)
            {
                _stage = value.Stage;
                _line?.Dispose();
                _line = value.Stage switch
                {
                    QuantizationStage.Probe => new ProgressLine("float graph", "B"),
                    QuantizationStage.Calibrate => new ProgressLine("calibrate", " tokens"),
                    _ => new ProgressLine("quantize", "B"),
                };
            }

            _line!.Report(value.Done, value.Total, value.Stage == QuantizationStage.Calibrate ? value.Detail : null);
        }

        public void Dispose() => _line?.Dispose();
    }
}
