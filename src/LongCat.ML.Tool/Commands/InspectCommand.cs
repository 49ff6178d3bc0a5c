using System.CommandLine;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat inspect</c>: what a checkpoint folder, an ONNX folder made of one, or an adapter's folder holds, without reading a model's weights.</summary>
internal static class InspectCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "A Hugging Face folder (config.json and *.safetensors), a model's folder in its download cache, an ONNX folder of longcat export or quantize, or a LoRA adapter's folder." };
        Option<bool> finite = new("--check-finite") { Description = "Read every weight and name the tensors with NaN or infinite values." };
        Command command = new("inspect", "Show architecture, sizes and tensors of a checkpoint, and whether it is complete; of an ONNX folder, how it was made; of an adapter, its rank, targets and modules.") { folder, finite };
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

            if (IsAdapter(path))
            {
                // Loading an adapter reads its values, so that ones which are not finite are named with or without --check-finite.
                using PeftAdapter adapter = PeftAdapter.Load(path);
                result.InvocationConfiguration.Output.Write(AdapterSummary.Of(adapter).ToText());
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

    private static bool IsAdapter(string path) =>
        new[] { PeftConfig.FileName, AfaState.FileName, PeftAdapter.WeightsFileName, "adapter_model.bin" }.Any(name => File.Exists(Path.Combine(path, name)));
}
