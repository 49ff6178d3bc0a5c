using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Download caches: contents under blobs, links under snapshots, the branch under refs.</summary>
public sealed class HuggingFaceCacheTests : IDisposable
{
    private const string First = "0123456789abcdef0123456789abcdef01234567";
    private const string Second = "89abcdef0123456789abcdef0123456789abcdef";

    private readonly TemporaryFolder _folder = new();
    private readonly string _model;

    public HuggingFaceCacheTests() => _model = _folder["models--someone--tiny"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_snapshot_of_refs_main_is_opened()
    {
        AddSnapshot(First, seed: 1);
        AddSnapshot(Second, seed: 2);
        SetMain(Second + "\n");

        using Checkpoint checkpoint = Checkpoint.Open(_model);
        Assert.Equal(Path.Combine(_model, "snapshots", Second), checkpoint.Folder);
        checkpoint.Validate();
        Assert.Equal("LlamaForCausalLM", ModelConfig.Load(_model).Architecture);
        Assert.Equal(16 + 'a', HuggingFaceTokenizer.Load(_model).TokenToId("a"));
    }

    [Fact]
    public void A_snapshots_own_folder_of_links_is_opened()
    {
        AddSnapshot(First, seed: 1);
        AddSnapshot(Second, seed: 2);
        using Checkpoint checkpoint = Checkpoint.Open(Path.Combine(_model, "snapshots", First));
        checkpoint.Validate();
        Assert.NotNull(new FileInfo(checkpoint.Files[0].Path).LinkTarget);
    }

    [Fact]
    public void The_only_snapshot_needs_no_ref()
    {
        AddSnapshot(First, seed: 1);
        Assert.Equal(Path.Combine(_model, "snapshots", First), HuggingFaceCache.Resolve(_model));
    }

    [Fact]
    public void A_ref_to_a_missing_snapshot_is_named()
    {
        AddSnapshot(First, seed: 1);
        SetMain(Second);
        CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_model));
        Assert.Equal(Path.Combine(_model, "refs", "main"), e.File);
        Assert.Contains($"names the snapshot {Second}, which is not there (there is {First}); download the model again", e.Message);
    }

    [Fact]
    public void Several_snapshots_without_refs_main_are_listed()
    {
        AddSnapshot(First, seed: 1);
        AddSnapshot(Second, seed: 2);
        CheckpointException e = Assert.Throws<CheckpointException>(() => ModelConfig.Load(_model));
        Assert.Contains($"has no refs/main to choose a snapshot by (there are {First}, {Second}); give a snapshot's own folder", e.Message);
    }

    [Fact]
    public void A_cache_without_snapshots_says_so()
    {
        Directory.CreateDirectory(Path.Combine(_model, "snapshots"));
        Assert.Contains("holds no snapshot", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_model)).Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("../../elsewhere")]
    [InlineData("/etc")]
    [InlineData("a\\b")]
    public void A_ref_that_is_no_plain_name_is_refused(string text)
    {
        AddSnapshot(First, seed: 1);
        SetMain(text);
        Assert.Contains("expected the name of a snapshot", Assert.Throws<CheckpointException>(() => Checkpoint.Open(_model)).Message);
    }

    [Fact]
    public void A_link_to_a_missing_blob_is_an_incomplete_download()
    {
        AddSnapshot(First, seed: 1);
        string weights = Path.Combine(_model, "snapshots", First, "model.safetensors");
        File.Delete(Path.GetFullPath(new FileInfo(weights).LinkTarget!, Path.GetDirectoryName(weights)!));
        CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoint.Open(_model));
        Assert.Equal(weights, e.File);
        Assert.Contains("is a link to ../../blobs/", e.Message);
        Assert.Contains("the download is not complete", e.Message);
    }

    [Fact]
    public void A_plain_folder_is_itself()
    {
        string plain = RandomDecoder.Write(_folder["plain"]);
        Directory.CreateDirectory(Path.Combine(plain, "snapshots", "training"));
        Assert.Equal(plain, HuggingFaceCache.Resolve(plain));
    }

    private void SetMain(string text)
    {
        Directory.CreateDirectory(Path.Combine(_model, "refs"));
        File.WriteAllText(Path.Combine(_model, "refs", "main"), text);
    }

    private void AddSnapshot(string revision, int seed)
    {
        string source = RandomDecoder.Write(_folder[$"source-{seed}"], new RandomDecoderOptions { Seed = seed, Layers = 1, Tokenizer = true });
        string blobs = Directory.CreateDirectory(Path.Combine(_model, "blobs")).FullName;
        string snapshot = Directory.CreateDirectory(Path.Combine(_model, "snapshots", revision)).FullName;
        foreach (string file in Directory.EnumerateFiles(source))
        {
            string blob = $"{seed:x4}{Path.GetFileName(file).Length:x60}";
            File.Move(file, Path.Combine(blobs, blob));
            File.CreateSymbolicLink(Path.Combine(snapshot, Path.GetFileName(file)), $"../../blobs/{blob}");
        }
    }
}
