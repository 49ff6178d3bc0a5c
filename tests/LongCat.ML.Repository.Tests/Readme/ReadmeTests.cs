using System.Diagnostics;
using System.Text.RegularExpressions;

namespace LongCat.ML.RepositoryTests.Readme;

/// <summary>
/// The README's program is compiled from the README itself (tests/ReadmeProgram); here it runs, and what it prints must be what the README shows.
/// LONGCAT_UPDATE=1 writes the output into the README.
/// </summary>
public sealed partial class ReadmeTests
{
    private static readonly string Root = TestShared.Repository.Root;

    [Fact]
    public void The_program_prints_what_the_README_shows()
    {
        string path = Path.Combine(Root, "README.md");
        string readme = File.ReadAllText(path).ReplaceLineEndings("\n");
        Match shown = OutputBlock().Match(readme);
        Assert.True(shown.Success, "README.md has no ```text block after its program");

        string printed = Run();
        if (Environment.GetEnvironmentVariable("LONGCAT_UPDATE") == "1")
        {
            File.WriteAllText(path, string.Concat(readme.AsSpan(0, shown.Groups[1].Index), printed, readme.AsSpan(shown.Groups[1].Index + shown.Groups[1].Length)));
            return;
        }

        Assert.Equal(shown.Groups[1].Value, printed);
    }

    [Fact]
    public void Every_link_to_a_file_leads_somewhere()
    {
        foreach (string document in new[] { "README.md", "CONTRIBUTING.md" })
        {
            foreach (Match link in Link().Matches(File.ReadAllText(Path.Combine(Root, document))))
            {
                string target = link.Groups[1].Value;
                Assert.True(target.Contains("://", StringComparison.Ordinal) || Path.Exists(Path.Combine(Root, target)), $"{document} links to {target}, which does not exist");
            }
        }
    }

    private static string Run()
    {
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "ReadmeProgram.dll")])
        {
            WorkingDirectory = Root,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error.Result);
        return output.ReplaceLineEndings("\n").TrimEnd('\n') + "\n";
    }

    [GeneratedRegex("```csharp\n.*?```.*?```text\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex OutputBlock();

    [GeneratedRegex(@"\]\(([^)#]+)(?:#[^)]*)?\)")]
    private static partial Regex Link();
}
