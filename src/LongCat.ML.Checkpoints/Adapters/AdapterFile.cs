namespace LongCat.ML.Checkpoints;

/// <summary>A small file of an adapter's folder that is whole or as it was: written beside its name, then renamed.</summary>
internal static class AdapterFile
{
    /// <summary>Writes the file; an earlier one is replaced.</summary>
    /// <exception cref="AdapterException">The file cannot be written.</exception>
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
            throw new AdapterException(path, $"cannot be written: {e.Message}", e);
        }
    }
}
