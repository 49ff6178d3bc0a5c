namespace LongCat.ML.Checkpoints;

/// <summary>A small file of an adapter's folder that is whole or as it was.</summary>
internal static class AdapterFile
{
    /// <summary>Writes the file; an earlier one is replaced.</summary>
    /// <exception cref="AdapterException">The file cannot be written.</exception>
    public static void Replace(string path, byte[] content)
    {
        try
        {
            WholeFile.Replace(path, content);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new AdapterException(path, $"cannot be written: {e.Message}", e);
        }
    }
}
