using System.CommandLine;
using LongCat.ML.CommandLine;
using LongCat.ML.Tool.Jobs;

namespace LongCat.ML.Tool.Commands;

/// <summary><c>longcat merge-parts</c>: the parts of a job become one file.</summary>
internal static class MergePartsCommand
{
    public static Command Create()
    {
        Argument<string> folder = new("folder") { Description = "The output folder of longcat score with shards." };
        Option<string> output = new("--output", "-o") { Description = "The file to write; failed rows are listed in NAME.errors.jsonl beside it.", Required = true };
        Option<bool> keep = new("--row-numbers") { Description = $"Keep the field {PartFiles.RowField} of each row, the number of its line in the input." };
        Option<bool> overwrite = new("--overwrite") { Description = "Replace an existing output file." };
        Command command = new("merge-parts", "Put the parts of a job together; proves that every row is there, once and in order.") { folder, output, keep, overwrite };
        command.SetAction(async (result, cancellationToken) =>
        {
            string path = result.GetRequiredValue(output);
            if (Directory.Exists(path))
            {
                throw new UsageException($"--output {path} is a folder, expected the name of a file to write");
            }

            if (File.Exists(path) && !result.GetValue(overwrite))
            {
                throw new UsageException($"--output {path} exists; give another name, or --overwrite");
            }

            using ProgressLine line = new("merge", " rows");
            (long rows, long failed) = await PartsMerger.MergeAsync(result.GetRequiredValue(folder), path, result.GetValue(keep), line, cancellationToken).ConfigureAwait(false);
            await result.InvocationConfiguration.Output.WriteLineAsync($"{path}: {rows} rows, each once and in order, {failed} of them failed").ConfigureAwait(false);
            return CommandHost.Success;
        });
        return command;
    }
}
