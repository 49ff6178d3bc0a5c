using System.IO.Compression;
using System.Reflection.Metadata;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using LongCat.ML.RepositoryTests.PackageMembers;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Packages;

/// <summary>The packages as a user meets them: what they hold, a project elsewhere that references them, the tool installed from them.</summary>
[Collection("native libraries")]
public sealed partial class PackageTests(PackedPackages packages, ITestOutputHelper output) : IClassFixture<PackedPackages>
{
    private static readonly string[] Libraries =
    [
        "LongCat.ML", "LongCat.ML.Checkpoints", "LongCat.ML.Inference", "LongCat.ML.Modules", "LongCat.ML.Native", "LongCat.ML.Onnx", "LongCat.ML.Quantization",
        "LongCat.ML.Training",
    ];

    private static readonly string[] Tools = ["LongCat.ML.Tool", "LongCat.ML.Training.Tool"];

    [Fact]
    public void Every_project_of_src_is_a_package_with_readme_licence_documentation_and_symbols()
    {
        string[] made = [.. Directory.EnumerateFiles(packages.Feed, "*.nupkg").Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];
        Assert.Equal(Libraries.Concat(Tools).Select(id => $"{id}.{PackedPackages.Version}.nupkg").Order(StringComparer.Ordinal), made);
        foreach (string id in Libraries.Concat(Tools))
        {
            using ZipArchive package = Open(id, "nupkg"), symbols = Open(id, "snupkg");
            XDocument nuspec = PackedPackages.Nuspec(package);
            string Value(string name) => nuspec.Descendants().SingleOrDefault(element => element.Name.LocalName == name)?.Value ?? "";
            Assert.Equal("MIT", Value("license"));
            Assert.Equal("README.md", Value("readme"));
            Assert.True(Value("description").Length > 20, $"{id} has no description");
            Assert.NotNull(package.GetEntry("README.md"));
            bool tool = Tools.Contains(id);
            string folder = tool ? "tools/net10.0/any/" : "lib/net10.0/";
            string assembly = id switch { "LongCat.ML.Tool" => "longcat", "LongCat.ML.Training.Tool" => "longcat-train", _ => id };
            Assert.NotNull(package.GetEntry(folder + assembly + ".dll"));
            Assert.True(tool || package.GetEntry(folder + assembly + ".xml") is not null, $"{id} has no XML documentation");
            Assert.NotNull(symbols.GetEntry(folder + assembly + ".pdb"));
        }
    }

    [Fact]
    public void The_native_package_has_the_library_of_every_system_that_was_built()
    {
        using ZipArchive package = Open("LongCat.ML.Native", "nupkg");
        string runtimes = Path.Combine(Repository.Root, "artifacts", "native", "runtimes");
        string[] crossBuilt = Directory.Exists(runtimes) ? Directory.GetFiles(runtimes, "*longcat_ops.*", SearchOption.AllDirectories) : [];
        foreach (string file in crossBuilt)
        {
            Assert.NotNull(package.GetEntry("runtimes/" + Path.GetRelativePath(runtimes, file)));
        }

        Assert.Contains(package.Entries, entry => entry.FullName.StartsWith("runtimes/linux-", StringComparison.Ordinal) && entry.Length > 100_000);
        output.WriteLine(string.Join('\n', package.Entries.Where(entry => entry.FullName.StartsWith("runtimes/", StringComparison.Ordinal))));
    }

    [Fact]
    public void Dependencies_are_packed_here_or_named_with_their_central_version()
    {
        Dictionary<string, string> central = XDocument.Load(Path.Combine(Repository.Root, "Directory.Packages.props")).Descendants("PackageVersion")
            .ToDictionary(element => (string)element.Attribute("Include")!, element => (string)element.Attribute("Version")!);
        foreach (string id in Libraries)
        {
            using ZipArchive package = Open(id, "nupkg");
            foreach (XElement dependency in PackedPackages.Dependencies(PackedPackages.Nuspec(package)))
            {
                string name = (string)dependency.Attribute("id")!, version = (string)dependency.Attribute("version")!;
                string expected = Libraries.Contains(name) ? PackedPackages.Version : central.GetValueOrDefault(name, "no such package");
                Assert.True(version == expected, $"{id} depends on {name} {version}, expected {expected}");
            }
        }

        using ZipArchive scoring = Open("LongCat.ML", "nupkg");
        Assert.DoesNotContain(PackedPackages.Dependencies(PackedPackages.Nuspec(scoring)), dependency => ((string)dependency.Attribute("id")!).Contains("Torch", StringComparison.Ordinal));
    }

    [Fact]
    public void Nothing_in_a_package_names_a_folder_of_this_machine_or_a_repository_host()
    {
        if (PackedPackages.Configuration != "release")
        {
            output.WriteLine($"the sources' folder is kept for the debugger in {PackedPackages.Configuration} builds");
            return;
        }

        byte[][] forbidden = [.. new[] { Repository.Root, Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) + "/." }.Select(Encoding.UTF8.GetBytes)];
        foreach (string id in Libraries.Concat(Tools))
        {
            foreach (string kind in new[] { "nupkg", "snupkg" })
            {
                using ZipArchive package = Open(id, kind);
                Assert.DoesNotContain(PackedPackages.Nuspec(package).Descendants(), element => element.Name.LocalName is "repository" or "projectUrl");
                foreach (ZipArchiveEntry entry in package.Entries.Where(entry => OwnFile().IsMatch(entry.Name)))
                {
                    using Stream stream = entry.Open();
                    using MemoryStream bytes = new();
                    stream.CopyTo(bytes);
                    ReadOnlySpan<byte> content = bytes.GetBuffer().AsSpan(0, (int)bytes.Length);
                    foreach (byte[] text in forbidden)
                    {
                        Assert.True(content.IndexOf(text) < 0, $"{id}: {entry.FullName} holds {Encoding.UTF8.GetString(text)}");
                    }

                    if (entry.Name.EndsWith(".pdb", StringComparison.Ordinal))
                    {
                        bytes.Position = 0;
                        string[] sources = Sources(bytes);
                        Assert.NotEmpty(sources);
                        Assert.All(sources, source => Assert.StartsWith("/_/", source, StringComparison.Ordinal));
                    }
                }
            }
        }
    }

    [Fact]
    public async Task A_project_elsewhere_restores_them_and_runs_the_program_of_the_README()
    {
        string readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md")).ReplaceLineEndings("\n");
        Match program = Program().Match(readme);
        Assert.True(program.Success, "README.md has no ```csharp block followed by a ```text block");
        string folder = packages["elsewhere"];
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "elsewhere.csproj"), ProjectFile);
        File.WriteAllText(Path.Combine(folder, "Program.cs"),
            program.Groups[1].Value.Replace("\"samples/", $"\"{Repository.Root.Replace('\\', '/')}/samples/", StringComparison.Ordinal));
        // The training package compiles too; the program does not run it.
        File.WriteAllText(Path.Combine(folder, "Training.cs"), "static class Training { public static System.Type Kind => typeof(LongCat.ML.Training.Pretraining.Pretrainer); }\n");

        string[] properties = [$"-p:RestoreAdditionalProjectSources={packages.Feed}", $"-p:LongCatVersion={PackedPackages.Version}", $"-p:StandIns={AppContext.BaseDirectory}"];
        // Packages of this test must not stay in the machine's own cache, which otherwise serves what it has.
        string cache = Environment.GetEnvironmentVariable("NUGET_PACKAGES") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");
        await DotNetProcess.RunAsync(folder, "dotnet", ["build", "-c", "Release", "-v", "quiet", "-o", "out", .. properties,
            $"-p:RestorePackagesPath={packages["cache"]}", $"-p:RestoreFallbackFolders={cache}"]);
        string printed = await DotNetProcess.RunAsync(folder, "dotnet", [Path.Combine("out", "elsewhere.dll")]);
        Assert.Equal(program.Groups[2].Value, printed.ReplaceLineEndings("\n").TrimEnd('\n') + "\n");
    }

    [Fact]
    public async Task The_tool_installs_and_inspects_a_model()
    {
        string folder = packages["tools"];
        Directory.CreateDirectory(folder);
        Dictionary<string, string> environment = new() { ["NUGET_PACKAGES"] = packages["tool-cache"] };
        await DotNetProcess.RunAsync(folder, "dotnet", ["tool", "install", "LongCat.ML.Tool", "--version", PackedPackages.Version, "--tool-path", folder, "--add-source", packages.Feed], environment);
        string printed = await DotNetProcess.RunAsync(folder, Path.Combine(folder, "longcat"), ["inspect", Path.Combine(Repository.Root, "samples", "models", "longcat-nano")]);
        Assert.Contains("LongcatFlashNgramForCausalLM", printed, StringComparison.Ordinal);
    }

    private static string ProjectFile => """
        <Project Sdk="Microsoft.NET.Sdk">
          <PropertyGroup>
            <OutputType>Exe</OutputType>
            <TargetFramework>net10.0</TargetFramework>
            <Nullable>enable</Nullable>
            <ImplicitUsings>enable</ImplicitUsings>
          </PropertyGroup>
          <ItemGroup>
            <PackageReference Include="LongCat.ML" Version="$(LongCatVersion)" />
            <PackageReference Include="LongCat.ML.Training" Version="$(LongCatVersion)" />
          </ItemGroup>

        """ + (PackageMode.IsStandIn
        ? """
          <ItemGroup>
            <Reference Include="$(StandIns)Microsoft.ML.dll" />
            <Reference Include="$(StandIns)Microsoft.ML.Tokenizers.dll" />
            <Reference Include="$(StandIns)Microsoft.ML.OnnxRuntime.dll" />
            <Reference Include="$(StandIns)TorchSharp.dll" />
            <None Include="$(StandIns)libonnxruntime.so" CopyToOutputDirectory="PreserveNewest" />
          </ItemGroup>
        </Project>
        """
        : """
          <ItemGroup>
            <PackageReference Include="Microsoft.ML.OnnxRuntime.Gpu" Version="1.29.0" />
          </ItemGroup>
        </Project>
        """);

    // Symbols hold a path in pieces, so the text alone cannot be searched.
    private static string[] Sources(Stream symbols)
    {
        using MetadataReaderProvider provider = MetadataReaderProvider.FromPortablePdbStream(symbols, MetadataStreamOptions.LeaveOpen);
        MetadataReader reader = provider.GetMetadataReader();
        return [.. reader.Documents.Select(handle => reader.GetString(reader.GetDocument(handle).Name))];
    }

    private ZipArchive Open(string id, string kind) => ZipFile.OpenRead(Path.Combine(packages.Feed, $"{id}.{PackedPackages.Version}.{kind}"));

    [GeneratedRegex("```csharp\n(.*?)```.*?```text\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Program();

    [GeneratedRegex(@"^(LongCat\.|longcat|liblongcat).*\.(dll|so|pdb|xml|json)$")]
    private static partial Regex OwnFile();
}
