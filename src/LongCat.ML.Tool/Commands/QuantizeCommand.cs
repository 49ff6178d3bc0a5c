using System.CommandLine;
using LongCat.ML.Onnx;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat quantize</c>: a checkpoint becomes an ONNX folder with 4-bit weights and 8-bit activations.</summary>
internal static class QuantizeCommand
{
    public static Command Create()
    {
        Argument<string> checkpoint = new("checkpoint") { Description = "A Hugging Face folder (config.json and *.safetensors), or a model's folder in its download cache." };
        Option<string> output = new("--output", "-o") { Description = "The ONNX folder to write; it is whole or absent.", Required = true };
        Option<string> cache = CacheArgument.Create();
        Option<string?> adapter = AdapterArgument.Create();
        Option<bool> noDraft = new("--no-draft") { Description = "Leave the MTP head out." };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an existing output folder." };
        QuantizationArguments quantization = new();
        Command command = new("quantize", "Write a checkpoint as an ONNX folder with 4-bit weights and 8-bit activations.") { checkpoint, output, cache, adapter, noDraft, overwrite };
        quantization.AddTo(command);
        command.SetAction((result, cancellationToken) => Task.FromResult(QuantizationRun.Run(
            result,
            quantization,
            result.GetRequiredValue(checkpoint),
            result.GetRequiredValue(output),
            new ExportOptions { CacheType = CacheArgument.Type(result, cache), Adapter = AdapterArgument.Folder(result, adapter), IncludeDraft = !result.GetValue(noDraft), Overwrite = result.GetValue(overwrite) },
            cancellationToken)));
        return command;
    }
}
