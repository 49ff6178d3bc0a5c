namespace LongCat.ML.TestShared;

/// <summary>
/// Golden data from independent implementations. It is not part of the repository: the folder is looked for beside the
/// checkout (<c>../shared/fixtures</c>) or where the environment variable <c>LONGCAT_FIXTURES</c> points.
/// </summary>
internal static class GoldenFixtures
{
    public static string? Root { get; } = Find();

    /// <summary>Why what needs them is skipped; null where they exist.</summary>
    public static string? Absence => Root is null ? "the golden fixtures are not on this machine (../shared/fixtures, or LONGCAT_FIXTURES)" : null;

    public static string Path(params string[] parts) =>
        System.IO.Path.Combine([Root ?? throw new InvalidOperationException("the golden fixtures are absent"), .. parts]);

    private static string? Find()
    {
        string? configured = Environment.GetEnvironmentVariable("LONGCAT_FIXTURES");
        if (!string.IsNullOrEmpty(configured))
        {
            return Directory.Exists(configured) ? configured : null;
        }

        string candidate = System.IO.Path.Combine(Repository.Root, "..", "shared", "fixtures");
        return Directory.Exists(candidate) ? System.IO.Path.GetFullPath(candidate) : null;
    }
}

/// <summary>Where the checkout lies: the folder that holds LongCat.ML.sln.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "LongCat.ML.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"LongCat.ML.sln is in no folder above {AppContext.BaseDirectory}");
    }
}
