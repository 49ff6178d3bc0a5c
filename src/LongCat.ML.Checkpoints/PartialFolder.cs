namespace LongCat.ML.Checkpoints;

/// <summary>
/// A folder that is whole or absent: written beside its final name, renamed when it is complete, removed when it is not. What was there is renamed aside first, put back if the renaming fails,
/// and deleted last. A killed process can leave a hidden sibling, <c>.NAME.partial-*</c> or <c>.NAME.replaced-*</c>.
/// </summary>
internal sealed class PartialFolder : IDisposable
{
    private readonly string _final;
    private bool _committed;

    /// <summary>Creates the temporary folder, and the folders above it.</summary>
    /// <param name="final">The final name, a full path that is no root.</param>
    /// <exception cref="IOException">It cannot be created.</exception>
    public PartialFolder(string final)
    {
        _final = final;
        Path = Sibling("partial");
        Directory.CreateDirectory(Path);
    }

    /// <summary>Where to write.</summary>
    public string Path { get; }

    /// <summary>A folder's full path without a separator at its end.</summary>
    public static string FullPath(string folder) => System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(folder));

    /// <summary>Refuses to begin where the disk is too full.</summary>
    /// <exception cref="IOException">Less than <paramref name="bytes"/> are free.</exception>
    public void RequireSpace(long bytes)
    {
        long free = new DriveInfo(Path).AvailableFreeSpace;
        if (free < bytes)
        {
            throw new IOException($"{System.IO.Path.GetDirectoryName(_final)}: the weights need {bytes:N0} bytes, {free:N0} are free; free some space or choose another disk.");
        }
    }

    /// <summary>Gives the folder its final name.</summary>
    /// <param name="replace">Whether a folder of that name that holds something is replaced; otherwise only an empty one.</param>
    /// <param name="keepAllBut">Where something is replaced: the names that the old folder does not keep; everything else in it moves over. Null keeps nothing.</param>
    /// <exception cref="IOException">There is something that may not be replaced, or the file system refuses.</exception>
    public void Commit(bool replace = false, IReadOnlyCollection<string>? keepAllBut = null)
    {
        if (Directory.Exists(_final) && !replace)
        {
            // Refused by the file system unless it is empty.
            Directory.Delete(_final);
        }

        if (!Directory.Exists(_final))
        {
            Directory.Move(Path, _final);
            _committed = true;
            return;
        }

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
        foreach (string entry in keepAllBut is null ? [] : Directory.EnumerateFileSystemEntries(replaced).ToArray())
        {
            string name = System.IO.Path.GetFileName(entry);
            if (!keepAllBut!.Contains(name))
            {
                Directory.Move(entry, System.IO.Path.Combine(_final, name));
            }
        }

        try
        {
            Directory.Delete(replaced, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The new folder is in place; an old one that cannot be deleted must not turn that into a failure. It stays under its hidden name beside it.
        }
    }

    public void Dispose()
    {
        if (!_committed && Directory.Exists(Path))
        {
            Directory.Delete(Path, recursive: true);
        }
    }

    private string Sibling(string purpose)
    {
        string parent = System.IO.Path.GetDirectoryName(_final)!;
        Directory.CreateDirectory(parent);
        return System.IO.Path.Combine(parent, $".{System.IO.Path.GetFileName(_final)}.{purpose}-{Guid.NewGuid():N}");
    }
}
