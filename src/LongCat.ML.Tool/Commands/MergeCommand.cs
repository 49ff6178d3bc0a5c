using System.CommandLine;
using LongCat.ML.Checkpoints;
using LongCat.ML.CommandLine;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat merge</c>: a checkpoint and adapters become a checkpoint.</summary>
internal static class MergeCommand
{
    public static Command Create()
    {
        Argument<string> checkpoint = new("checkpoint") { Description = "The base model: a Hugging Face folder (config.json and *.safetensors), or a model's folder in its download cache." };
        Option<string[]> adapters = new("--adapter") { Description = "A LoRA adapter's folder, as PEFT or longcat-train saves it; several are merged one after another.", Required = true };
        Option<string> output = new("--output", "-o") { Description = "The Hugging Face folder to write; it is whole or absent.", Required = true };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an earlier merge in the output folder." };
        Option<bool> onto = AdapterArgument.CreateOntoUnquantized();
        Command command = new("merge", "Merge LoRA adapters into a checkpoint and write it as a Hugging Face folder.") { checkpoint, adapters, output, overwrite, onto };
        command.SetAction((result, cancellationToken) =>
        {
            List<PeftAdapter> loaded = [];
            try
            {
                foreach (string adapter in result.GetRequiredValue(adapters))
                {
                    loaded.Add(PeftAdapter.Load(AdapterArgument.Folder(adapter)));
                }

                using ProgressLine line = new("merge", "B");
                MergeResult merged = MergedCheckpoint.Write(
                    result.GetRequiredValue(checkpoint), loaded, result.GetRequiredValue(output),
                    new MergeOptions { Overwrite = result.GetValue(overwrite), OntoUnquantized = result.GetValue(onto) }, new Progress(line), cancellationToken);
                result.InvocationConfiguration.Output.WriteLine(
                    $"{merged.Folder}: {merged.MergedTensors} of {merged.TensorCount} tensors merged, {ProgressLine.Scaled(merged.Bytes)}B in {merged.Elapsed.TotalSeconds:0.0} s");
                return Task.FromResult(CommandHost.Success);
            }
            finally
            {
                loaded.ForEach(adapter => adapter.Dispose());
            }
        });
        return command;
    }

    private sealed class Progress(ProgressLine line) : IProgress<MergeProgress>
    {
        public void Report(MergeProgress value) => line.Report(value.BytesDone, value.BytesTotal);
    }
}
