namespace LongCat.ML.Checkpoints;

/// <summary>What an output folder may replace: folders of the kind that the same work writes, where that was asked for, and nothing else.</summary>
/// <param name="What">Such a folder in words, with its article: <c>an export</c>.</param>
/// <param name="IsOne">Whether a folder that holds something is one.</param>
/// <param name="HowToOverwrite">What a user does to replace one, behind "choose another folder or".</param>
internal sealed record FolderRule(string What, Func<string, bool> IsOne, string HowToOverwrite = "ask for it to be overwritten")
{
    /// <summary>Why a folder may not be written, for messages that name the folder in front; null where it may.</summary>
    /// <param name="final">The folder, a full path.</param>
    /// <param name="overwrite">Whether one of the kind may be replaced.</param>
    public string? Problem(string final, bool overwrite)
    {
        if (File.Exists(final))
        {
            return "the output is a file; name a folder";
        }

        if (Path.GetDirectoryName(final) is null)
        {
            return "the output folder is a file system's root; name a folder inside it";
        }

        if (!Directory.Exists(final) || !Directory.EnumerateFileSystemEntries(final).Any())
        {
            return null;
        }

        // Overwriting deletes, so it takes only what is known to have been written for this.
        return !IsOne(final) ? $"the output folder holds files and is not {What}, so it is not replaced; choose another folder or empty this one"
            : overwrite ? null
            : $"the output folder exists; choose another folder or {HowToOverwrite}";
    }
}
