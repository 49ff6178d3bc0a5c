using System.Diagnostics;

namespace LongCat.ML.Checkpoints;

/// <summary>Writes a checkpoint with adapters merged into it, as a Hugging Face folder of its own.</summary>
/// <remarks>Thread safety: static and without state.</remarks>
public static class MergedCheckpoint
{
    private static readonly string[] CopiedExtensions = [".json", ".txt", ".jinja", ".model", ".py", ".tiktoken"];
    private static readonly string[] CopiedNames = ["LICENSE", "NOTICE"];

    /// <summary>
    /// Merges adapters into a checkpoint. The folder is whole or absent; it has the base's files, shard by shard, with the changed tensors in the types that they are stored
    /// in, and copies of its configuration and tokenizer. Tensors pass through one after another, so memory stays bounded.
    /// </summary>
    /// <param name="checkpointFolder">The base model: a folder with config.json and safetensors, or a model's folder in a Hugging Face cache.</param>
    /// <param name="adapters">The adapters, merged one after another; at least one.</param>
    /// <param name="outputFolder">The folder to create; it must not exist or be empty.</param>
    /// <param name="progress">Told after every tensor, or null.</param>
    /// <param name="cancellationToken">Cancels within about 4 MiB of output; nothing is left behind.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder holds files.</exception>
    /// <exception cref="AdapterException">An adapter cannot be merged into it; see <see cref="Checkpoint.Open(string, IReadOnlyList{PeftAdapter}, Func{ModelConfig, ModelConfig}?)"/>.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to; nothing is left behind.</exception>
    /// <exception cref="ArgumentException">A folder is null or empty, or there is no adapter.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static MergeResult Write(
        string checkpointFolder,
        IReadOnlyList<PeftAdapter> adapters,
        string outputFolder,
        IProgress<MergeProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointFolder);
        ArgumentException.ThrowIfNullOrEmpty(outputFolder);
        ArgumentNullException.ThrowIfNull(adapters);
        if (adapters.Count == 0)
        {
            throw new ArgumentException("no adapter to merge, expected at least one", nameof(adapters));
        }

        long started = Stopwatch.GetTimestamp();
        using Checkpoint checkpoint = Checkpoint.Open(checkpointFolder, adapters);
        checkpoint.Validate();
        string final = PartialFolder.FullPath(outputFolder);
        CheckOutput(final);
        long total = checkpoint.Tensors.Values.Sum(t => t.ByteLength);
        using PartialFolder partial = new(final);
        long free = new DriveInfo(partial.Path).AvailableFreeSpace;
        if (free < total)
        {
            throw new IOException($"{Path.GetDirectoryName(final)}: the weights need {total:N0} bytes, {free:N0} are free; free some space or choose another disk.");
        }

        long done = 0;
        foreach (SafetensorsFile file in checkpoint.Files)
        {
            string target = Path.Combine(partial.Path, Path.GetRelativePath(checkpoint.Folder, file.Path));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            using SafetensorsWriter writer = SafetensorsWriter.Create(
                target, file.Tensors.Values.Select(t => new TensorDeclaration(t.Name, t.Type, t.Shape)), file.Metadata);
            foreach (TensorEntry tensor in file.Tensors.Values.OrderBy(t => t.Offset))
            {
                using (Stream stream = writer.OpenTensor(tensor.Name))
                {
                    checkpoint.CopyTo(tensor.Name, tensor.Type, stream, cancellationToken);
                }

                done += tensor.ByteLength;
                progress?.Report(new MergeProgress(done, total));
            }

            writer.Complete();
        }

        foreach (string path in Directory.EnumerateFiles(checkpoint.Folder))
        {
            string name = Path.GetFileName(path);
            if (IsCopied(name))
            {
                cancellationToken.ThrowIfCancellationRequested();
                File.Copy(path, Path.Combine(partial.Path, name));
            }
        }

        cancellationToken.ThrowIfCancellationRequested();
        partial.Commit();
        return new MergeResult(final, checkpoint.Tensors.Count, checkpoint.MergedTensors.Count(), total, Stopwatch.GetElapsedTime(started));
    }

    /// <summary>Configuration, tokenizer, templates, remote code and licences; no weights of other formats, no model card, which speaks of the base.</summary>
    internal static bool IsCopied(string name) =>
        CopiedNames.Any(n => name.StartsWith(n, StringComparison.OrdinalIgnoreCase))
        || (CopiedExtensions.Contains(Path.GetExtension(name), StringComparer.OrdinalIgnoreCase)
            && (!name.EndsWith(".index.json", StringComparison.OrdinalIgnoreCase) || name == ShardIndex.FileName)
            && name is not (PeftConfig.FileName or AfaState.FileName));

    /// <summary>Refuses an output folder that could not be created.</summary>
    /// <param name="final">Its full path.</param>
    /// <exception cref="CheckpointException">A file, a root, or a folder with files.</exception>
    internal static void CheckOutput(string final)
    {
        if (File.Exists(final))
        {
            throw new CheckpointException(final, "the output is a file; name a folder");
        }

        if (Path.GetDirectoryName(final) is null)
        {
            throw new CheckpointException(final, "the output folder is a file system's root; name a folder inside it");
        }

        if (Directory.Exists(final) && Directory.EnumerateFileSystemEntries(final).Any())
        {
            throw new CheckpointException(final, "the output folder holds files; choose another or empty this one");
        }
    }
}
