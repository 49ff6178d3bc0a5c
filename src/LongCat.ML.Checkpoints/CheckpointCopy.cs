namespace LongCat.ML.Checkpoints;

/// <summary>Copies a checkpoint with a changed config.json: the weights stay as they are, byte by byte.</summary>
/// <remarks>Thread safety: static and without state.</remarks>
public static class CheckpointCopy
{
    private static readonly FolderRule EmptyOnly = new("an empty folder", _ => false);

    /// <summary>
    /// Writes a folder that has the weights, tokenizer and other files of a checkpoint and a changed config.json. The folder is whole or absent. Files are copied by the operating system (where the file
    /// system can share blocks, they are shared), so memory stays small.
    /// </summary>
    /// <param name="checkpointFolder">The checkpoint: a folder with config.json and safetensors, or a model's folder in a Hugging Face cache. It is only read.</param>
    /// <param name="change">Changes the config.</param>
    /// <param name="outputFolder">The folder to create; it must not exist or be empty.</param>
    /// <param name="cancellationToken">Cancels between two files; nothing is left behind.</param>
    /// <returns>The folder's full path.</returns>
    /// <exception cref="CheckpointException">The checkpoint cannot be used, the changed config does not fit its tensors, or the output folder holds files.</exception>
    /// <exception cref="IOException">The disk is full or cannot be written to; nothing is left behind.</exception>
    /// <exception cref="ArgumentException">A folder is null or empty.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static string Write(string checkpointFolder, Action<ConfigEditor> change, string outputFolder, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointFolder);
        ArgumentException.ThrowIfNullOrEmpty(outputFolder);
        ArgumentNullException.ThrowIfNull(change);
        ConfigEditor editor = ConfigEditor.Load(checkpointFolder);
        change(editor);
        string final = PartialFolder.FullPath(outputFolder);
        if (EmptyOnly.Problem(final, overwrite: false) is { } problem)
        {
            throw new CheckpointException(final, problem);
        }

        using Checkpoint checkpoint = Checkpoint.Open(checkpointFolder);
        checkpoint.Validate();
        using PartialFolder partial = new(final);
        long total = checkpoint.Files.Sum(file => new FileInfo(file.Path).ResolveLinkTarget(returnFinalTarget: true) is FileInfo target ? target.Length : new FileInfo(file.Path).Length);
        partial.RequireSpace(total);
        foreach (SafetensorsFile file in checkpoint.Files)
        {
            Copy(file.Path, Path.GetRelativePath(checkpoint.Folder, file.Path));
        }

        foreach (string path in Directory.EnumerateFiles(checkpoint.Folder))
        {
            string name = Path.GetFileName(path);
            if (name != "config.json" && MergedCheckpoint.IsCopied(name))
            {
                Copy(path, name);
            }
        }

        editor.Save(Path.Combine(partial.Path, "config.json"));
        using (Checkpoint written = Checkpoint.Open(partial.Path))
        {
            written.Validate();
        }

        cancellationToken.ThrowIfCancellationRequested();
        partial.Commit();
        return final;

        void Copy(string path, string name)
        {
            cancellationToken.ThrowIfCancellationRequested();
            string target = Path.Combine(partial.Path, name);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(path, target);
        }
    }
}
