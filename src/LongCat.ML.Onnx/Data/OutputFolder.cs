using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx;

/// <summary>A folder that is whole or absent: written beside its final name and renamed when it is complete, removed when it is not.</summary>
internal sealed class OutputFolder : IDisposable
{
    private readonly string _final;
    private readonly bool _overwrite;
    private bool _committed;

    private OutputFolder(string final, bool overwrite)
    {
        _final = final;
        _overwrite = overwrite;
        Path = Sibling("partial");
        Directory.CreateDirectory(Path);
    }

    /// <summary>Where to write.</summary>
    public string Path { get; }

    /// <summary>Refuses what may not be replaced, then creates the temporary folder.</summary>
    /// <exception cref="IOException">Less than <paramref name="bytes"/> are free there.</exception>
    public static OutputFolder Create(string folder, bool overwrite, long bytes)
    {
        string final = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(folder));
        string parent = System.IO.Path.GetDirectoryName(final)
            ?? throw new CheckpointException(final, "the output folder is a file system's root; name a folder inside it.");
        CheckReplaceable(final, overwrite);
        Directory.CreateDirectory(parent);
        long free = new DriveInfo(parent).AvailableFreeSpace;
        if (free < bytes)
        {
            throw new IOException($"{parent}: the weights need {bytes:N0} bytes, {free:N0} are free; free some space or choose another disk.");
        }

        return new OutputFolder(final, overwrite);
    }

    /// <summary>Gives the folder its final name. An older export under that name is put aside first and put back if the renaming fails.</summary>
    /// <returns>The final name.</returns>
    public string Commit()
    {
        CheckReplaceable(_final, _overwrite);
        if (Directory.Exists(_final))
        {
            string replaced = Sibling("replaced");
            Directory.Move(_final, replaced);
            try
            {
                Directory.Move(Path, _final);
            }
            catch
            {
                Directory.Move(replaced, _final);
                throw;
            }

            _committed = true;
            DeleteReplaced(replaced);
        }
        else
        {
            Directory.Move(Path, _final);
            _committed = true;
        }

        return _final;
    }

    public void Dispose()
    {
        if (!_committed && Directory.Exists(Path))
        {
            Directory.Delete(Path, recursive: true);
        }
    }

    /// <summary>The new export is in place: an old one that cannot be deleted must not turn that into a failure.</summary>
    private static void DeleteReplaced(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It stays under its hidden name beside the export.
        }
    }

    /// <exception cref="CheckpointException">Something is there that may not be replaced.</exception>
    public static void CheckReplaceable(string final, bool overwrite)
    {
        if (File.Exists(final))
        {
            throw new CheckpointException(final, "the output is a file; name a folder.");
        }

        if (!Directory.Exists(final) || !Directory.EnumerateFileSystemEntries(final).Any())
        {
            return;
        }

        if (!overwrite)
        {
            throw new CheckpointException(final, "the output folder exists; choose another or ask for it to be overwritten.");
        }

        // Overwriting deletes: only what an export wrote may go.
        if (!File.Exists(System.IO.Path.Combine(final, ModelManifest.FileName)))
        {
            throw new CheckpointException(final, $"the output folder holds files but no {ModelManifest.FileName}; only an earlier export is overwritten. Choose another folder or empty this one.");
        }
    }

    private string Sibling(string purpose) =>
        System.IO.Path.Combine(System.IO.Path.GetDirectoryName(_final)!, $".{System.IO.Path.GetFileName(_final)}.{purpose}-{Guid.NewGuid():N}");
}
