using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Finds the model in a Hugging Face download cache: <c>models--organization--name</c> holds the files' contents under <c>blobs</c>, one folder of links per
/// revision under <c>snapshots</c>, and under <c>refs</c> which revision a branch stands at.
/// </summary>
public static class HuggingFaceCache
{
    private const string Snapshots = "snapshots";
    private const long LongestRef = 4096;
    private const int MostListed = 8;

    /// <summary>The folder with a model's files.</summary>
    /// <param name="folder">A folder with config.json (a plain one, or a snapshot of a cache), or a cache's folder of one model.</param>
    /// <returns>
    /// <paramref name="folder"/> itself, unless it is a model's folder in a cache: then the snapshot that <c>refs/main</c> names, or the only snapshot where there is no <c>refs/main</c>.
    /// </returns>
    /// <exception cref="CheckpointException">
    /// The cache holds no snapshot, <c>refs/main</c> names one that is not there, or there are several and no <c>refs/main</c>.
    /// </exception>
    /// <exception cref="ArgumentException"><paramref name="folder"/> is null or empty.</exception>
    public static string Resolve(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        string snapshots = Path.Combine(folder, Snapshots);
        if (File.Exists(Path.Combine(folder, "config.json")) || !Directory.Exists(snapshots))
        {
            return folder;
        }

        string[] revisions = [.. Directory.EnumerateDirectories(snapshots).Select(Path.GetFileName).OfType<string>().Order(StringComparer.Ordinal)];
        string main = Path.Combine(folder, "refs", "main");
        if (File.Exists(main))
        {
            string revision = ReadRef(main);
            return revisions.Contains(revision, StringComparer.Ordinal)
                ? Path.Combine(snapshots, revision)
                : throw new CheckpointException(main, $"names the snapshot {revision}, which is not there ({Listed(revisions)}); download the model again, or give a snapshot's own folder");
        }

        return revisions.Length == 1
            ? Path.Combine(snapshots, revisions[0])
            : throw new CheckpointException(folder, revisions.Length == 0
                ? $"the download cache holds no snapshot ({Snapshots} is empty); download the model again"
                : $"the download cache has no refs/main to choose a snapshot by ({Listed(revisions)}); give a snapshot's own folder");
    }

    /// <summary>What is wrong with a file that was not found when it is a link; null when there is nothing under its name.</summary>
    internal static string? DanglingLink(string file) => new FileInfo(file).LinkTarget is string target
        ? $"is a link to {CheckpointException.Printable(target)}, which is not there: the download is not complete"
        : null;

    /// <summary>A revision is one plain component, so that it cannot lead out of the cache.</summary>
    private static string ReadRef(string file)
    {
        string revision = Encoding.UTF8.GetString(BoundedFile.Read(file, LongestRef).Span).Trim();
        bool plain = revision.Length is > 0 and <= 255 && revision is not ("." or "..");
        foreach (char c in revision)
        {
            plain &= char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_';
        }

        return plain
            ? revision
            : throw new CheckpointException(file, $"holds \"{CheckpointException.Printable(revision)}\", expected the name of a snapshot");
    }

    private static string Listed(string[] revisions) => revisions.Length switch
    {
        0 => "there is none",
        1 => $"there is {CheckpointException.Printable(revisions[0])}",
        _ => $"there are {string.Join(", ", revisions.Take(MostListed).Select(CheckpointException.Printable))}{(revisions.Length > MostListed ? $" and {revisions.Length - MostListed} more" : "")}",
    };
}
