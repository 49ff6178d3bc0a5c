using System.Runtime.InteropServices;
using System.Text;
using System.Xml;
using System.Xml.Linq;

namespace LongCat.ML.Training.Corpus;

/// <summary>
/// The English XML documentation that every .NET SDK installs with its reference assemblies (<c>packs/Microsoft.NETCore.App.Ref</c> and
/// <c>packs/Microsoft.AspNetCore.App.Ref</c>), as a corpus of short documents. Thread-safe; reads only.
/// </summary>
public static class SdkDocumentation
{
    private static readonly string[] s_packs = ["Microsoft.NETCore.App.Ref", "Microsoft.AspNetCore.App.Ref"];

    /// <summary>
    /// Namespaces that <see cref="Read"/> leaves out by default: the hardware intrinsics, a seventh of all text, list instructions rather than describe
    /// an API; the others are internal parts of ASP.NET Core.
    /// </summary>
    public static IReadOnlyList<string> DefaultExclusions { get; } = ["System.Runtime.Intrinsics", "MessagePack", "Nerdbank.Streams", "Windows.Win32"];

    /// <summary>
    /// Finds the documentation of the SDK: below <c>DOTNET_ROOT</c>, the root of the running runtime, <c>DOTNET_HOST_PATH</c>, or the <c>dotnet</c> on the path.
    /// Of several installed versions the newest of the running major version is taken, else the newest.
    /// </summary>
    /// <returns>The XML files in a fixed order; a file that both packs carry is listed once.</returns>
    /// <exception cref="DirectoryNotFoundException">No root has the documentation; the message lists the folders tried.</exception>
    public static IReadOnlyList<string> Locate()
    {
        List<string> tried = [];
        foreach (string root in Roots())
        {
            List<string> files = FilesBelow(root);
            if (files.Count > 0)
            {
                return files;
            }

            tried.Add(Path.Combine(root, "packs", s_packs[0]));
        }

        throw new DirectoryNotFoundException(
            $"No XML documentation of the .NET SDK was found; tried {string.Join(", ", tried)}. Install the .NET SDK, or set DOTNET_ROOT to its folder.");
    }

    /// <summary>Reads documentation files into documents.</summary>
    /// <param name="files">XML documentation files; the first mention of a member counts.</param>
    /// <param name="excludedNamespaces">Namespaces (with those below them) to leave out; null takes <see cref="DefaultExclusions"/>.</param>
    /// <returns>
    /// One document per member with a summary, ordered by declaring type and id. Explicit interface implementations are left out, and overloads with
    /// the same summary count once.
    /// </returns>
    /// <exception cref="InvalidDataException">A file is no well-formed documentation; the message names it.</exception>
    public static IReadOnlyList<ApiDocument> Read(IEnumerable<string> files, IReadOnlyList<string>? excludedNamespaces = null)
    {
        ArgumentNullException.ThrowIfNull(files);
        Dictionary<string, XElement> members = new(StringComparer.Ordinal);
        foreach (string file in files)
        {
            foreach (XElement member in Members(file))
            {
                if ((string?)member.Attribute("name") is { Length: > 2 } id && id[1] == ':')
                {
                    members.TryAdd(id, member);
                }
            }
        }

        DocumentationNames names = new(members.Where(entry => entry.Key[0] == 'T').ToDictionary(
            entry => entry.Key[2..],
            entry => entry.Value.Elements("typeparam").Select(parameter => (string?)parameter.Attribute("name") ?? "T").ToArray(),
            StringComparer.Ordinal));

        IReadOnlyList<string> excluded = excludedNamespaces ?? DefaultExclusions;
        IEnumerable<ApiDocument> documents = members
            .Select(entry => DocumentBuilder.Build(entry.Key, entry.Value, names))
            .OfType<ApiDocument>()
            .Where(document => !excluded.Any(space => IsWithin(document.Namespace, space)))
            .OrderBy(document => document.DeclaringType, StringComparer.Ordinal)
            .ThenBy(document => document.Id, StringComparer.Ordinal);

        HashSet<(string, string, string)> seen = [];
        return [.. documents.Where(document => seen.Add((document.DeclaringType, DocumentBuilder.PathOf(document.Id), document.Summary)))];
    }

    private static bool IsWithin(string name, string space) =>
        name.StartsWith(space, StringComparison.Ordinal) && (name.Length == space.Length || name[space.Length] == '.');

    private static List<XElement> Members(string file)
    {
        try
        {
            using XmlReader reader = XmlReader.Create(file, new XmlReaderSettings { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null });
            return [.. XDocument.Load(reader, LoadOptions.PreserveWhitespace).Descendants("member")];
        }
        catch (XmlException error)
        {
            throw new InvalidDataException($"{file} is no well-formed XML documentation: {error.Message}", error);
        }
    }

    private static IEnumerable<string> Roots()
    {
        List<string?> roots = [Environment.GetEnvironmentVariable("DOTNET_ROOT")];

        // shared/Microsoft.NETCore.App/<version>/ lies three folders below the root.
        roots.Add(new DirectoryInfo(RuntimeEnvironment.GetRuntimeDirectory()).Parent?.Parent?.Parent?.FullName);
        roots.Add(RootOfHost(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH")));
        string host = OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet";
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            roots.Add(RootOfHost(Path.Combine(folder, host)));
        }

        return roots.OfType<string>().Where(root => root.Length > 0).Distinct(StringComparer.Ordinal);
    }

    private static string? RootOfHost(string? host)
    {
        if (string.IsNullOrEmpty(host) || !File.Exists(host))
        {
            return null;
        }

        return Path.GetDirectoryName(new FileInfo(host).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? host);
    }

    private static List<string> FilesBelow(string root)
    {
        List<string> files = [];
        HashSet<string> names = new(StringComparer.OrdinalIgnoreCase);
        foreach (string pack in s_packs)
        {
            string folder = Path.Combine(root, "packs", pack);
            if (!Directory.Exists(folder))
            {
                continue;
            }

            var newest = Directory.GetDirectories(folder)
                .Select(path => (Path: path, Version: Version.TryParse(Path.GetFileName(path).Split('-')[0], out Version? version) ? version : new Version(0, 0)))
                .OrderByDescending(entry => entry.Version.Major == Environment.Version.Major)
                .ThenByDescending(entry => entry.Version)
                .ThenBy(entry => entry.Path, StringComparer.Ordinal)
                .Select(entry => Path.Combine(entry.Path, "ref"))
                .FirstOrDefault(Directory.Exists);
            if (newest is null)
            {
                continue;
            }

            files.AddRange(Directory.GetFiles(newest, "*.xml", SearchOption.AllDirectories)
                .Order(StringComparer.Ordinal)
                .Where(file => names.Add(Path.GetFileName(file))));
        }

        return files;
    }
}
