using System.CommandLine;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat inspect</c>: what a checkpoint folder holds, without reading the weights.</summary>
internal static class InspectCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "A Hugging Face folder (config.json and *.safetensors), or a model's folder in its download cache." };
        Option<bool> finite = new("--check-finite") { Description = "Read every weight and name the tensors with NaN or infinite values." };
        Command command = new("inspect", "Show architecture, sizes and tensors of a checkpoint, and whether it is complete.") { folder, finite };
        command.SetAction(result =>
        {
            using Checkpoint checkpoint = Checkpoint.Open(result.GetRequiredValue(folder));
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
                : throw new CheckpointException(result.GetRequiredValue(folder), "the tensors do not fit the config");
        });
        return command;
    }
}
