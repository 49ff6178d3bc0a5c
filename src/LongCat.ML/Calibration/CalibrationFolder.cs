namespace LongCat.ML.Calibration;

/// <summary>A temporary folder beside the output for what only calibration needs. Gone when disposed.</summary>
internal sealed class CalibrationFolder : IDisposable
{
    public CalibrationFolder(string outputFolder)
    {
        string output = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(outputFolder));
        Path = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(output)!, $".{System.IO.Path.GetFileName(output)}.calibration-{Guid.NewGuid():N}");
        Probe = System.IO.Path.Combine(Path, "probe");
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    /// <summary>Where the float export goes.</summary>
    public string Probe { get; }

    public void DeleteProbe() => Delete(Probe);

    public void Dispose() => Delete(Path);

    /// <summary>What cannot be deleted must not hide the error, or the result, of what was done.</summary>
    private static void Delete(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
            {
                Directory.Delete(folder, recursive: true);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // It stays under its hidden name beside the output.
        }
    }
}
