using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.FineTuning;

/// <summary>A folder that is written whole or not at all.</summary>
internal static class OutputFolder
{
    /// <summary>Refuses what is in the way before any work is done.</summary>
    /// <exception cref="IOException">A file, a folder with other things, or an output without leave to overwrite it.</exception>
    public static void Check(string folder, bool overwrite)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        if (File.Exists(folder))
        {
            throw new IOException($"{folder} is a file, expected the name of a folder to write");
        }

        if (!Directory.Exists(folder) || !Directory.EnumerateFileSystemEntries(folder).Any())
        {
            return;
        }

        bool ours = File.Exists(Path.Combine(folder, "adapter_config.json")) || File.Exists(Path.Combine(folder, ZigZagCalibration.FileName))
            || (File.Exists(Path.Combine(folder, "config.json")) && File.Exists(Path.Combine(folder, "model.safetensors")) && File.Exists(Path.Combine(folder, "report.html")));
        if (!ours)
        {
            throw new IOException($"{folder} holds something that is no result of fine-tuning; choose another folder");
        }

        if (!overwrite)
        {
            throw new IOException($"{folder} exists; choose another folder or ask to overwrite it");
        }
    }

    /// <summary>Fills a sibling and renames it into place; what was there is renamed aside first and deleted last.</summary>
    public static void Write(string folder, Action<string> fill)
    {
        string final = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        string parent = Path.GetDirectoryName(final)!, name = Path.GetFileName(final);
        string partial = Path.Combine(parent, $".{name}.partial-{Environment.ProcessId}"), aside = Path.Combine(parent, $".{name}.replaced-{Environment.ProcessId}");
        Remove(partial);
        Remove(aside);
        Directory.CreateDirectory(partial);
        try
        {
            fill(partial);
            if (Directory.Exists(final))
            {
                Directory.Move(final, aside);
            }

            Directory.Move(partial, final);
        }
        catch
        {
            if (!Directory.Exists(final) && Directory.Exists(aside))
            {
                Directory.Move(aside, final);
            }

            Remove(partial);
            throw;
        }

        Remove(aside);
    }

    private static void Remove(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
