using LongCat.ML.Checkpoints;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.Estimators;

/// <summary>The folder of <see cref="ZigZagEstimator"/>, whole or absent: filled under another name, then renamed.</summary>
internal sealed class ZigZagFolder : IDisposable
{
    public const string Sparse = "checkpoint";
    public const string Adapter = "adapter";
    public const string Model = "onnx";
    public const string Report = "report.html";
    public const string TuningReport = "fine-tuning.html";
    private readonly string output;
    private readonly bool overwrite;

    /// <param name="folder">The folder, checked.</param>
    /// <param name="overwrite">Whether one that such a trainer made may be replaced.</param>
    public ZigZagFolder(string folder, bool overwrite)
    {
        this.overwrite = overwrite;
        output = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(folder));
        Path = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(output)!, $".{System.IO.Path.GetFileName(output)}.zigzag-{Guid.NewGuid():N}");
        Directory.CreateDirectory(Path);
    }

    /// <summary>Where to write.</summary>
    public string Path { get; }

    /// <exception cref="CheckpointException">The folder exists, and may not be replaced or is no such folder.</exception>
    public static void Check(string folder, bool overwrite)
    {
        if (File.Exists(folder))
        {
            throw new CheckpointException(folder, "is a file; expected a folder to create.");
        }

        if (!Directory.Exists(folder) || !Directory.EnumerateFileSystemEntries(folder).Any())
        {
            return;
        }

        bool ours = File.Exists(System.IO.Path.Combine(folder, ZigZagCalibration.FileName)) && File.Exists(System.IO.Path.Combine(folder, Model, ModelManifest.FileName));
        if (!overwrite || !ours)
        {
            throw new CheckpointException(folder, ours
                ? $"exists. Name another folder, or set {nameof(ZigZagTrainerOptions)}.{nameof(ZigZagTrainerOptions.Overwrite)}."
                : $"exists and is no folder that this trainer made ('{ZigZagCalibration.FileName}' and '{Model}' in it), so it is not replaced. Name another one.");
        }
    }

    /// <summary>The path of a file or folder in it, as long as it is not committed.</summary>
    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Gives the folder its name.</summary>
    /// <returns>Its full path.</returns>
    public string Commit()
    {
        if (Directory.Exists(output))
        {
            Check(output, overwrite);
            Directory.Delete(output, recursive: true);
        }

        Directory.Move(Path, output);
        return output;
    }

    public void Dispose()
    {
        if (Directory.Exists(Path))
        {
            Directory.Delete(Path, recursive: true);
        }
    }
}
