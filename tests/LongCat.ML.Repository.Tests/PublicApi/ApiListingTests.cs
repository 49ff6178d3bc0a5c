using System.Reflection;
using LongCat.ML.TestShared;

namespace LongCat.ML.RepositoryTests.PublicApi;

/// <summary>
/// docs/api holds the public API of every package as text: a change of it is a change of a file, seen when it is reviewed.
/// LONGCAT_UPDATE=1 writes the files.
/// </summary>
public sealed class ApiListingTests
{
    public static TheoryData<string> Packages { get; } = new(
        "LongCat.ML", "LongCat.ML.Checkpoints", "LongCat.ML.Inference", "LongCat.ML.Modules", "LongCat.ML.Native", "LongCat.ML.Onnx", "LongCat.ML.Quantization",
        "LongCat.ML.Training");

    [Theory]
    [MemberData(nameof(Packages))]
    public void The_public_API_is_the_listed_one(string package)
    {
        string path = Path.Combine(Repository.Root, "docs", "api", package + ".txt");
        string[] found = [.. ApiListing.Of(Assembly.Load(package))];
        Assert.NotEmpty(found);
        if (Environment.GetEnvironmentVariable("LONGCAT_UPDATE") == "1")
        {
            File.WriteAllLines(path, found);
        }

        string[] listed = File.Exists(path) ? File.ReadAllLines(path) : [];
        // With the line of its type, a member is told from one of the same name elsewhere.
        string[] added = [.. Qualified(found).Except(Qualified(listed))], removed = [.. Qualified(listed).Except(Qualified(found))];
        Assert.True(found.SequenceEqual(listed),
            $"The public API of {package} is not docs/api/{package}.txt. If that is meant, look at the change and run\n" +
            "  LONGCAT_UPDATE=1 dotnet test tests/LongCat.ML.Repository.Tests -c Release --filter ApiListing\n" +
            $"new:\n  {string.Join("\n  ", added.Take(30))}\ngone:\n  {string.Join("\n  ", removed.Take(30))}");
    }

    private static IEnumerable<string> Qualified(IEnumerable<string> lines)
    {
        string type = "";
        foreach (string line in lines)
        {
            type = line.StartsWith(' ') ? type : line;
            yield return line == type ? line : type.Split(" : ")[0] + " " + line.TrimStart();
        }
    }
}
