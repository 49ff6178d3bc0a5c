using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;
using LongCat.ML.Onnx.Adapters;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat adapter</c>: a LoRA adapter becomes a file that ONNX Runtime loads.</summary>
internal static class AdapterCommand
{
    public static Command Create()
    {
        Argument<string> adapter = new("adapter") { Description = "The folder of a LoRA adapter, as PEFT or longcat-train saves it." };
        Option<string> output = new("--output", "-o")
        {
            Description = "The .onnx_adapter file to write; it is whole or absent. ONNX Runtime takes it with a model exported with --adapter-inputs.",
            Required = true,
        };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an existing file." };
        Command command = new("adapter", "Write a LoRA adapter as ONNX Runtime's adapter file.") { adapter, output, overwrite };
        command.SetAction(result =>
        {
            string path = result.GetRequiredValue(output);
            if (!path.EndsWith(OnnxAdapterFile.Extension, StringComparison.Ordinal))
            {
                throw new UsageException($"--output is {path}, expected a file whose name ends in {OnnxAdapterFile.Extension}");
            }

            if (File.Exists(path) && !result.GetValue(overwrite))
            {
                throw new UsageException($"{path} exists already; choose another name, or give --overwrite");
            }

            using PeftAdapter loaded = PeftAdapter.Load(result.GetRequiredValue(adapter));
            OnnxAdapterFile.Write(path, loaded);
            result.InvocationConfiguration.Output.WriteLine($"{path}: {loaded.Modules.Count} modules, {ProgressLine.Scaled(new FileInfo(path).Length)}B");
            return CommandHost.Success;
        });
        return command;
    }
}
