using System.IO.Compression;
using System.Xml.Linq;
using LongCat.ML.RepositoryTests.PackageMembers;
using LongCat.ML.TestShared;

namespace LongCat.ML.RepositoryTests.Packages;

/// <summary>
/// The packages of src, made once from what is already built, in a folder that goes away with the tests. Their version says that they are for a test.
/// With the stand-ins they lose their dependencies on the four user-facing packages: those were not what they were built with.
/// </summary>
public sealed class PackedPackages : IAsyncLifetime
{
    /// <summary>The packages whose places the stand-ins take; a package made with them names the stand-in projects.</summary>
    internal static readonly string[] StandInIds = ["Microsoft.ML", "Microsoft.ML.Tokenizers", "Microsoft.ML.OnnxRuntime", "TorchSharp"];

    private readonly TemporaryFolder _folder = new();

    internal static string Configuration { get; } = new DirectoryInfo(AppContext.BaseDirectory).Name;

    internal static string Version { get; } = PackageMode.IsStandIn ? "0.0.1-standin" : "0.0.1-test";

    internal string Feed => _folder["feed"];

    internal string this[string name] => _folder[name];

    public async Task InitializeAsync()
    {
        await DotNetProcess.RunAsync(Repository.Root, "dotnet",
            ["pack", "LongCat.ML.sln", "-c", Configuration, "--no-build", "-o", Feed, $"-p:PackageVersion={Version}", "-v", "quiet"]);
        if (PackageMode.IsStandIn)
        {
            foreach (string package in Directory.EnumerateFiles(Feed, "*.nupkg"))
            {
                WithoutStandIns(package);
            }
        }
    }

    public Task DisposeAsync()
    {
        _folder.Dispose();
        return Task.CompletedTask;
    }

    internal static XDocument Nuspec(ZipArchive package)
    {
        using Stream stream = package.Entries.Single(entry => entry.FullName.EndsWith(".nuspec", StringComparison.Ordinal)).Open();
        return XDocument.Load(stream);
    }

    internal static IEnumerable<XElement> Dependencies(XDocument nuspec) => nuspec.Descendants().Where(element => element.Name.LocalName == "dependency");

    private static void WithoutStandIns(string path)
    {
        using ZipArchive package = ZipFile.Open(path, ZipArchiveMode.Update);
        XDocument nuspec = Nuspec(package);
        Dependencies(nuspec).Where(dependency => StandInIds.Contains((string?)dependency.Attribute("id"))).ToList().ForEach(dependency => dependency.Remove());
        ZipArchiveEntry old = package.Entries.Single(entry => entry.FullName.EndsWith(".nuspec", StringComparison.Ordinal));
        string name = old.FullName;
        old.Delete();
        using Stream stream = package.CreateEntry(name).Open();
        nuspec.Save(stream);
    }
}
