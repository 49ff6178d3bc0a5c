namespace LongCat.ML.Checkpoints;

/// <summary>A folder that is whole or absent: written beside its final name, renamed when it is complete, removed when it is not.</summary>
internal sealed class PartialFolder : IDisposable
{
    private readonly string _final;
    private bool _committed;

    /// <summary>Creates the temporary folder.</summary>
    /// <param name="final">The final name, a full path.</param>
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

    /// <summary>Gives the folder its final name.</summary>
    /// <param name="own">What a folder of that name is replaced by; everything else in it moves over. Null where there must be none, or an empty one.</param>
    public void Commit(IReadOnlyCollection<string>? own = null)
    {
        if (!Directory.Exists(_final))
        {
            Directory.Move(Path, _final);
            _committed = true;
            return;
        }

        if (own is null)
        {
            // Refused by the file system unless it is empty.
            Directory.Delete(_final);
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
        foreach (string entry in Directory.EnumerateFileSystemEntries(replaced).ToArray())
        {
            string name = System.IO.Path.GetFileName(entry);
            if (!own.Contains(name))
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
            // The new folder is in place; the old one stays under its hidden name beside it.
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
