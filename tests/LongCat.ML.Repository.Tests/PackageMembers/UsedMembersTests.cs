using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.PackageMembers;

/// <summary>
/// Product code and samples may use no member of the four user-facing packages that is missing from tests/standins/used-members.txt. With the real
/// packages, every entry must exist there with the same signature: so a stand-in can't invent a member or bend a signature unnoticed.
/// To accept a new member, check its signature in the real package's documentation, then run the test with LONGCAT_UPDATE=1.
/// </summary>
public sealed class UsedMembersTests(ITestOutputHelper output)
{
    private static readonly string[] Users =
    [
        "LongCat.ML.Checkpoints", "LongCat.ML.Quantization", "LongCat.ML.Modules", "LongCat.ML.Training", "LongCat.ML.Onnx", "LongCat.ML.Inference", "LongCat.ML",
        "QuickStart", "OnnxExport", "BatchScoring",
    ];

    private static string ListPath => Path.Combine(TestShared.Repository.Root, "tests", "standins", "used-members.txt");

    [Fact]
    public void Product_code_and_samples_use_only_listed_members()
    {
        SortedSet<string> used = new(StringComparer.Ordinal);
        foreach (string user in Users)
        {
            used.UnionWith(AssemblyMembers.Used(Path.Combine(AppContext.BaseDirectory, user + ".dll")));
        }

        Assert.NotEmpty(used);
        if (Environment.GetEnvironmentVariable("LONGCAT_UPDATE") == "1")
        {
            File.WriteAllLines(ListPath, used);
        }

        SortedSet<string> listed = new(File.ReadLines(ListPath), StringComparer.Ordinal);
        output.WriteLine($"{used.Count} used, {listed.Count} listed");
        Assert.True(used.IsSubsetOf(listed), "used but not listed:\n" + string.Join('\n', used.Except(listed).Take(40)));
        Assert.True(listed.IsSubsetOf(used), "listed but used no more:\n" + string.Join('\n', listed.Except(used).Take(40)));
    }

    [RealPackagesFact]
    public void Every_listed_member_exists_in_the_real_packages()
    {
        HashSet<string> defined = new(StringComparer.Ordinal);
        foreach (string file in Directory.EnumerateFiles(AppContext.BaseDirectory, "*.dll"))
        {
            if (AssemblyMembers.IsPackageAssembly(Path.GetFileNameWithoutExtension(file)))
            {
                defined.UnionWith(AssemblyMembers.Defined(file));
            }
        }

        string[] missing = [.. File.ReadLines(ListPath).Where(line => !defined.Contains(line))];
        Assert.True(missing.Length == 0, "not in the real packages:\n" + string.Join('\n', missing.Take(40)));
    }
}
