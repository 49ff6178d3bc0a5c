namespace QuickStart;

/// <summary>Where this checkout lies: the folder that holds LongCat.ML.sln.</summary>
internal static class Checkout
{
    public static string Folder(string relative)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "LongCat.ML.sln")))
            {
                return Path.Combine(folder.FullName, relative);
            }
        }

        throw new DirectoryNotFoundException($"LongCat.ML.sln is in no folder above {AppContext.BaseDirectory}: run the sample from a checkout");
    }
}
