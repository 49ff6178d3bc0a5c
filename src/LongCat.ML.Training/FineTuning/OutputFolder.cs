using LongCat.ML.Checkpoints;
using LongCat.ML.Training.ZigZag;

namespace LongCat.ML.Training.FineTuning;

/// <summary>The folder of a fine-tuning's result: an adapter, or a checkpoint with its report.</summary>
internal static class OutputFolder
{
    private static readonly FolderRule s_rule = new(
        "a result of fine-tuning",
        folder => File.Exists(Path.Combine(folder, "adapter_config.json"))
            || File.Exists(Path.Combine(folder, AfaState.FileName))
            || File.Exists(Path.Combine(folder, ZigZagCalibration.FileName))
            || (File.Exists(Path.Combine(folder, "config.json")) && File.Exists(Path.Combine(folder, "model.safetensors")) && File.Exists(Path.Combine(folder, "report.html"))));

    /// <summary>Refuses what is in the way before any work is done.</summary>
    /// <exception cref="IOException">A file, a folder with other things, or an output without leave to overwrite it.</exception>
    public static void Check(string folder, bool overwrite)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string final = PartialFolder.FullPath(folder);
        if (s_rule.Problem(final, overwrite) is { } problem)
        {
            throw new IOException($"{final}: {problem}");
        }
    }

    /// <summary>Fills the folder, which appears whole under its name.</summary>
    public static void Write(string folder, bool overwrite, Action<string> fill)
    {
        using var partial = new PartialFolder(PartialFolder.FullPath(folder));
        fill(partial.Path);
        partial.Commit(overwrite);
    }
}
