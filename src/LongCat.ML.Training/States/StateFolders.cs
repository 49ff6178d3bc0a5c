using System.Globalization;

namespace LongCat.ML.Training.States;

/// <summary>States of a training run: folders <c>step-{n}</c>, each written under another name and renamed, so that it is whole or absent; the two newest are kept.</summary>
internal static class StateFolders
{
    /// <summary>Writes a state.</summary>
    /// <param name="folder">The folder that holds the states, created when absent.</param>
    /// <param name="step">Steps made.</param>
    /// <param name="fill">Writes the files into the folder it is given.</param>
    /// <returns>The new state's folder.</returns>
    public static string Write(string folder, long step, Action<string> fill)
    {
        string final = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"step-{step:D8}"));
        string partial = final + ".partial";
        if (Directory.Exists(partial))
        {
            Directory.Delete(partial, recursive: true);
        }

        Directory.CreateDirectory(partial);
        fill(partial);
        if (Directory.Exists(final))
        {
            Directory.Delete(final, recursive: true);
        }

        Directory.Move(partial, final);
        foreach (string old in All(folder).SkipLast(2))
        {
            Directory.Delete(old, recursive: true);
        }

        return final;
    }

    /// <summary>The newest state of a folder.</summary>
    /// <param name="folder">The folder that holds the states.</param>
    /// <returns>The state's folder, or null when there is none.</returns>
    public static string? Newest(string folder) => All(folder).LastOrDefault();

    private static string[] All(string folder) => Directory.Exists(folder)
        ? [.. Directory.GetDirectories(folder, "step-*").Where(d => !d.EndsWith(".partial", StringComparison.Ordinal)).Order(StringComparer.Ordinal)]
        : [];
}
