using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Onnx;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat export</c>: a checkpoint becomes an ONNX folder.</summary>
internal static class ExportCommand
{
    public static Command Create()
    {
        Argument<string> checkpoint = new("checkpoint") { Description = "A Hugging Face folder (config.json and *.safetensors), or a model's folder in its download cache." };
        Option<string> output = new("--output", "-o") { Description = "The ONNX folder to write; it is whole or absent.", Required = true };
        Option<string?> precision = new("--precision") { Description = "f32, bf16, w4a8 (4-bit weights, 8-bit activations; see longcat quantize), or int4 with standard operators: how weights are stored; the checkpoint's own precision when left out." };
        precision.AcceptOnlyFromAmong("f32", "bf16", "int4", "w4a8");
        Option<string> operators = new("--ops")
        {
            Description = "longcat, or standard: operators of ONNX and com.microsoft only, float32, for any runtime without this library.",
            DefaultValueFactory = _ => "longcat",
        };
        operators.AcceptOnlyFromAmong("longcat", "standard");
        Option<int> blockSize = new("--block-size")
        {
            Description = "With --precision int4: how many weights share a scale, 16, 32, 64, 128 or 256.",
            DefaultValueFactory = _ => 32,
        };
        Option<string> cache = CacheArgument.Create();
        Option<string?> adapter = AdapterArgument.Create();
        Option<bool> onto = AdapterArgument.CreateOntoUnquantized();
        Option<bool> noDraft = new("--no-draft") { Description = "Leave the MTP head out." };
        Option<bool> sparse = new("--sparse-verification") { Description = "Give the graph the inputs and block means that sparse verification of speculated tokens needs (with longcat operators)." };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an existing output folder." };
        Option<string?> adapterInputs = AdapterArgument.CreateInputs();
        Command command = new("export", "Write a checkpoint as an ONNX folder with external data.")
        {
            checkpoint, output, operators, precision, blockSize, cache, adapter, onto, adapterInputs, noDraft, sparse, overwrite,
        };
        QuantizationArguments quantization = new();
        quantization.AddTo(command);
        command.SetAction((result, cancellationToken) =>
        {
            ExportOptions options = new()
            {
                Operators = result.GetValue(operators) == "standard" ? OperatorSet.Standard : OperatorSet.LongCat,
                Precision = result.GetValue(precision) switch
                {
                    "bf16" => WeightPrecision.BF16,
                    "int4" => WeightPrecision.Int4,
                    "f32" => WeightPrecision.F32,
                    "w4a8" => WeightPrecision.W4A8,
                    _ => null,
                },
                Int4BlockSize = result.GetValue(blockSize),
                CacheType = CacheArgument.Type(result, cache),
                Adapter = AdapterArgument.Folder(result, adapter),
                OntoUnquantized = result.GetValue(onto),
                AdapterInputs = AdapterArgument.Inputs(result, adapterInputs),
                IncludeDraft = !result.GetValue(noDraft),
                SparseVerification = result.GetValue(sparse),
                Overwrite = result.GetValue(overwrite),
            };
            if (options.Precision == WeightPrecision.W4A8)
            {
                return Task.FromResult(QuantizationRun.Run(result, quantization, result.GetRequiredValue(checkpoint), result.GetRequiredValue(output), options, cancellationToken));
            }

            if (quantization.FirstGiven(result) is { } given)
            {
                throw new UsageException($"{given} goes with --precision w4a8");
            }

            using ProgressLine line = new("export", "B");
            ExportResult exported = OnnxExporter.Export(
                result.GetRequiredValue(checkpoint),
                result.GetRequiredValue(output),
                options,
                new Progress(line),
                cancellationToken);
            result.InvocationConfiguration.Output.WriteLine(
                $"{exported.Folder}: {exported.TensorCount} tensors, {ProgressLine.Scaled(exported.DataBytes)}B in {exported.Elapsed.TotalSeconds:0.0} s");
            return Task.FromResult(CommandHost.Success);
        });
        return command;
    }

    /// <summary>Reports on the exporting thread: <see cref="Progress{T}"/> would post lines that arrive after the end.</summary>
    private sealed class Progress(ProgressLine line) : IProgress<ExportProgress>
    {
        public void Report(ExportProgress value) => line.Report(value.BytesDone, value.BytesTotal);
    }
}
