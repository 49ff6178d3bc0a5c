namespace LongCat.ML.Checkpoints;

/// <summary>A small file that is whole or as it was: written beside its name, then renamed.</summary>
internal static class WholeFile
{
    /// <summary>Writes the file; an earlier one is replaced.</summary>
    /// <exception cref="IOException">The file cannot be written; nothing of it is left behind.</exception>
    /// <exception cref="UnauthorizedAccessException">As <see cref="IOException"/>.</exception>
    public static void Replace(string path, byte[] content)
    {
        string partial = $"{path}.{Guid.NewGuid():N}.partial";
        try
        {
            File.WriteAllBytes(partial, content);
            File.Move(partial, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            File.Delete(partial);
            throw;
        }
    }
}
