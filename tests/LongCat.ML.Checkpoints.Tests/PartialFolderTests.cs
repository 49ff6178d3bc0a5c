using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Folders that are whole or absent, and what may be replaced by them.</summary>
public sealed class PartialFolderTests : IDisposable
{
    private static readonly FolderRule s_rule = new("a nest", folder => File.Exists(Path.Combine(folder, "egg")), "say so");
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Nothing_is_seen_before_the_end_and_nothing_is_left_of_a_failure()
    {
        using (PartialFolder partial = new(_folder["deep/nest"]))
        {
            File.WriteAllText(Path.Combine(partial.Path, "egg"), "1");
            Assert.False(Directory.Exists(_folder["deep/nest"]));
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder["deep"]));
        Write("deep/nest", "1");
        Assert.Equal("1", File.ReadAllText(_folder["deep/nest/egg"]));
        Assert.Single(Directory.EnumerateFileSystemEntries(_folder["deep"]));
    }

    [Fact]
    public void An_empty_folder_is_always_replaced_and_another_only_on_request()
    {
        Directory.CreateDirectory(_folder["nest"]);
        Write("nest", "1");
        Assert.ThrowsAny<IOException>(() => Write("nest", "2"));
        Assert.Equal("1", File.ReadAllText(_folder["nest/egg"]));
        File.WriteAllText(_folder["nest/leaf"], "");
        Write("nest", "3", replace: true);
        Assert.Equal(["egg"], Directory.EnumerateFileSystemEntries(_folder["nest"]).Select(Path.GetFileName));
        File.WriteAllText(_folder["nest/leaf"], "");
        File.WriteAllText(_folder["nest/shell"], "");
        Write("nest", "4", replace: true, keepAllBut: ["egg", "shell"]);
        Assert.Equal(["egg", "leaf"], Directory.EnumerateFileSystemEntries(_folder["nest"]).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal("4", File.ReadAllText(_folder["nest/egg"]));
        Assert.Single(Directory.EnumerateFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_rule_says_why_a_folder_may_not_be_written()
    {
        File.WriteAllText(_folder["file"], "");
        Directory.CreateDirectory(_folder["empty"]);
        Directory.CreateDirectory(_folder["other"]);
        File.WriteAllText(_folder["other/thesis.txt"], "");
        Write("nest", "1");
        Assert.Null(s_rule.Problem(_folder["absent"], overwrite: false));
        Assert.Null(s_rule.Problem(_folder["empty"], overwrite: false));
        Assert.Null(s_rule.Problem(_folder["nest"], overwrite: true));
        Assert.Equal("the output is a file; name a folder", s_rule.Problem(_folder["file"], overwrite: true));
        Assert.Equal("the output folder is a file system's root; name a folder inside it", s_rule.Problem(Path.GetPathRoot(_folder.Path)!, overwrite: true));
        Assert.Equal("the output folder exists; choose another folder or say so", s_rule.Problem(_folder["nest"], overwrite: false));
        Assert.Contains("is not a nest, so it is not replaced", s_rule.Problem(_folder["other"], overwrite: true), StringComparison.Ordinal);
    }

    [Fact]
    public void A_disk_that_is_too_full_is_said_before_the_work()
    {
        using PartialFolder partial = new(_folder["nest"]);
        partial.RequireSpace(1);
        Assert.Contains("bytes, ", Assert.Throws<IOException>(() => partial.RequireSpace(long.MaxValue)).Message, StringComparison.Ordinal);
    }

    private void Write(string name, string egg, bool replace = false, IReadOnlyCollection<string>? keepAllBut = null)
    {
        using PartialFolder partial = new(_folder[name]);
        File.WriteAllText(Path.Combine(partial.Path, "egg"), egg);
        partial.Commit(replace, keepAllBut);
    }
}
