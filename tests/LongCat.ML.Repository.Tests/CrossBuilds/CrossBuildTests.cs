using LongCat.ML.RepositoryTests.Packages;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.CrossBuilds;

/// <summary>
/// The operator library for other systems, built by <c>./run cross</c> with the kernels' tests, which run there under an emulator.
/// One collection with the tests of packages: those pack the libraries that this one writes, so the two never run at the same time.
/// </summary>
[Collection("native libraries")]
public sealed class CrossBuildTests(ITestOutputHelper output)
{
    [CrossBuildTheory]
    [InlineData("win-x64")]
    [InlineData("linux-arm64")]
    public async Task The_library_builds_and_its_tests_pass_under_an_emulator(string runtime)
    {
        string printed = await DotNetProcess.RunAsync(Repository.Root, "bash", ["run", "cross", runtime]);
        output.WriteLine(printed);
        Assert.Contains($"{runtime}: 100% tests passed", printed, StringComparison.Ordinal);
        Assert.NotEmpty(Directory.GetFiles(Path.Combine(Repository.Root, "artifacts", "native", "runtimes", runtime, "native"), "*longcat_ops.*"));
    }
}
