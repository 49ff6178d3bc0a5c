using System.CommandLine;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat inspect</c>: what a checkpoint folder, or an ONNX folder made of one, holds, without reading the weights.</summary>
internal static class InspectCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "A Hugging Face folder (config.json and *.safetensors), a model's folder in its download cache, or an ONNX folder of longcat export or quantize." };
        Option<bool> finite = new("--check-finite") { Description = "Read every weight and name the tensors with NaN or infinite values." };
        Command command = new("inspect", "Show architecture, sizes and tensors of a checkpoint, and whether it is complete; of an ONNX folder, how it was made.") { folder, finite };
        command.SetAction(result =>
        {
            string path = result.GetRequiredValue(folder);
            if (File.Exists(Path.Combine(path, ModelManifest.FileName)))
            {
                if (result.GetValue(finite))
                {
                    throw new CommandLine.UsageException("--check-finite reads the weights of a checkpoint; this is an ONNX folder");
                }

                result.InvocationConfiguration.Output.Write(ExportSummary.Of(path));
                return CommandLine.CommandHost.Success;
            }

            using Checkpoint checkpoint = Checkpoint.Open(path);
            CheckpointSummary summary = CheckpointSummary.Of(checkpoint);
            result.InvocationConfiguration.Output.Write(summary.ToText());
            if (result.GetValue(finite))
            {
                checkpoint.CheckFinite();
                result.InvocationConfiguration.Output.WriteLine("every value is finite");
            }

            // The listing above has the names; the last line says that they make the checkpoint unusable.
            return summary.FitsConfig
                ? CommandLine.CommandHost.Success
                : throw new CheckpointException(path, "the tensors do not fit the config");
        });
        return command;
    }
}
