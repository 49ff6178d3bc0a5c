using System.Diagnostics;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>Writes a checkpoint with adapters merged into it, as a Hugging Face folder of its own.</summary>
/// <remarks>Thread safety: static and without state.</remarks>
public static class MergedCheckpoint
{
    private static readonly string[] CopiedExtensions = [".json", ".txt", ".jinja", ".model", ".py", ".tiktoken"];
    private static readonly string[] CopiedNames = ["LICENSE", "NOTICE"];
    private static readonly FolderRule Rule = new("an earlier merge", folder => File.Exists(Path.Combine(folder, RecordName)), "ask for it to be overwritten (--overwrite)");

    /// <summary>The file that says which adapters were merged; what has it may be replaced by another merge.</summary>
    internal const string RecordName = "merged_adapters.json";

    /// <summary>
    /// Merges adapters into a checkpoint. The folder is whole or absent; it has the base's files, shard by shard, with the changed tensors in the types that they are stored
    /// in, copies of its configuration and tokenizer, and <c>merged_adapters.json</c>, which names the adapters. Tensors pass through one after another, so memory stays bounded.
    /// </summary>
    /// <param name="checkpointFolder">The base model: a folder with config.json and safetensors, or a model's folder in a Hugging Face cache.</param>
    /// <param name="adapters">The adapters, merged one after another; at least one.</param>
    /// <param name="outputFolder">The folder to create; it must not exist or be empty, or be an earlier merge that the options allow to replace.</param>
    /// <param name="options">What is allowed; null for the defaults.</param>
    /// <param name="progress">Told after every tensor, or null.</param>
    /// <param name="cancellationToken">Cancels within about 4 MiB of output; nothing is left behind.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, or the output folder holds files that may not be replaced.</exception>
    /// <exception cref="AdapterException">An adapter cannot be merged into it; see <see cref="Checkpoint.Open(string, IReadOnlyList{PeftAdapter}, Func{ModelConfig, ModelConfig}?)"/>, or was trained on quantized weights.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to; nothing is left behind.</exception>
    /// <exception cref="ArgumentException">A folder is null or empty, or there is no adapter.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static MergeResult Write(
        string checkpointFolder,
        IReadOnlyList<PeftAdapter> adapters,
        string outputFolder,
        MergeOptions? options = null,
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

        options ??= new MergeOptions();
        if (!options.OntoUnquantized)
        {
            foreach (PeftAdapter adapter in adapters)
            {
                ArgumentNullException.ThrowIfNull(adapter, nameof(adapters));
                adapter.RequireUnquantizedBase();
            }
        }

        long started = Stopwatch.GetTimestamp();
        using Checkpoint checkpoint = Checkpoint.Open(checkpointFolder, adapters);
        checkpoint.Validate();
        string final = PartialFolder.FullPath(outputFolder);
        CheckOutput(checkpoint, final, options.Overwrite);
        long total = checkpoint.Tensors.Values.Sum(t => t.ByteLength);
        using PartialFolder partial = new(final);
        partial.RequireSpace(total);
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

        File.WriteAllBytes(Path.Combine(partial.Path, RecordName), Record(checkpoint, adapters));
        cancellationToken.ThrowIfCancellationRequested();
        partial.Commit(options.Overwrite);
        return new MergeResult(final, checkpoint.Tensors.Count, checkpoint.MergedTensors.Count(), total, Stopwatch.GetElapsedTime(started));
    }

    /// <summary>Configuration, tokenizer, templates, remote code and licences; no weights of other formats, no model card, which speaks of the base.</summary>
    internal static bool IsCopied(string name) =>
        CopiedNames.Any(n => name.StartsWith(n, StringComparison.OrdinalIgnoreCase))
        || (CopiedExtensions.Contains(Path.GetExtension(name), StringComparer.OrdinalIgnoreCase)
            && (!name.EndsWith(".index.json", StringComparison.OrdinalIgnoreCase) || name == ShardIndex.FileName)
            && name is not (PeftConfig.FileName or AfaState.FileName or TrainingBase.FileName or RecordName));

    private static void CheckOutput(Checkpoint checkpoint, string final, bool overwrite)
    {
        if (Rule.Problem(final, overwrite) is { } problem)
        {
            throw new CheckpointException(final, problem);
        }

        // A merge may be the base of the next one; replacing must never delete what is read.
        if (Within(checkpoint.Folder, final) || checkpoint.Adapters.Any(adapter => Directory.Exists(adapter.Name) && Within(adapter.Name, final)))
        {
            throw new CheckpointException(final, "the output folder is or contains the checkpoint or an adapter; choose another folder");
        }
    }

    private static bool Within(string folder, string other) =>
        (PartialFolder.FullPath(folder) + Path.DirectorySeparatorChar).StartsWith(other + Path.DirectorySeparatorChar, StringComparison.Ordinal);

    /// <summary>Names and contents of what was merged, without paths, so that the same merge gives the same bytes.</summary>
    private static byte[] Record(Checkpoint checkpoint, IReadOnlyList<PeftAdapter> adapters)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteNumber("format_version", 1);
            json.WriteString("base", Path.GetFileName(PartialFolder.FullPath(checkpoint.Folder)));
            json.WriteStartArray("adapters");
            foreach (PeftAdapter adapter in adapters)
            {
                json.WriteStartObject();
                json.WriteString("name", Path.GetFileName(Path.TrimEndingDirectorySeparator(adapter.Name)));
                json.WriteString("content_hash", adapter.ContentHash);
                if (adapter.TrainedOn is { } weights)
                {
                    json.WriteString("trained_on", TrainingBase.Name(weights));
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return [.. stream.ToArray(), (byte)'\n'];
    }
}
