using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>An export folder is whole or absent, whatever goes wrong on the way.</summary>
public sealed class ExportFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Input => _folder["in"];

    private string Output => _folder["out"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_export_holds_what_its_manifest_lists_and_nothing_else()
    {
        RandomCheckpoint.Write(Input, new RandomCheckpointOptions { Mtp = true, Tokenizer = true, BFloat16 = true });
        File.WriteAllText(Path.Combine(Input, "generation_config.json"), "{}");
        File.WriteAllText(Path.Combine(Input, "notes.txt"), "not for the export");

        ExportResult result = OnnxExporter.Export(Input, Output, new ExportOptions { CacheType = CacheType.BFloat16 });

        Assert.Equal(
            ["config.json", "draft.onnx", "generation_config.json", "longcat.json", "model.onnx", "model.onnx.data", "tokenizer.json"],
            Directory.GetFiles(Output).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        ModelManifest manifest = ModelManifest.Read(Output);
        manifest.VerifyFiles(Output);
        Assert.Equal(result.Manifest.ContentHash, manifest.ContentHash);
        Assert.Equal(Output, result.Folder);
        Assert.Equal("LongcatFlashNgramForCausalLM", manifest.Architecture);
        Assert.Equal((WeightPrecision.BF16, 272, 48, 256), (manifest.Precision, manifest.VocabSize, manifest.HiddenSize, manifest.MaxPositions));
        Assert.Equal((4, CacheType.BFloat16), (manifest.NgramNeighbors, manifest.CacheType));
        Assert.Equal(1, manifest.BosTokenId);
        Assert.Equal([2], manifest.EosTokenIds);
        Assert.Equal([new CacheLayout(24), new CacheLayout(24)], manifest.Caches);
        Assert.Equal([new CacheLayout(24)], manifest.DraftCaches!);
        Assert.Equal(new FileInfo(Path.Combine(Output, "model.onnx.data")).Length, result.DataBytes);
    }

    [Fact]
    public void The_draft_head_can_be_declined()
    {
        RandomCheckpoint.Write(Input, new RandomCheckpointOptions { Mtp = true });

        OnnxExporter.Export(Input, Output, new ExportOptions { IncludeDraft = false });

        Assert.False(File.Exists(Path.Combine(Output, "draft.onnx")));
        Assert.False(ModelManifest.Read(Output).HasDraft);
    }

    [Fact]
    public void Cancelling_leaves_nothing_behind()
    {
        RandomCheckpoint.Write(Input);
        using CancellationTokenSource cancellation = new();
        InlineProgress progress = new(_ => cancellation.Cancel());

        Assert.Throws<OperationCanceledException>(() => OnnxExporter.Export(Input, Output, null, progress, cancellation.Token));

        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_failure_while_writing_leaves_an_earlier_export_untouched()
    {
        RandomCheckpoint.Write(Input);
        string before = OnnxExporter.Export(Input, Output).Manifest.ContentHash;
        InlineProgress progress = new(_ => throw new IOException("no space left on device"));

        Assert.Throws<IOException>(() => OnnxExporter.Export(Input, Output, new ExportOptions { Overwrite = true }, progress));

        Assert.Equal(before, ModelManifest.Read(Output).ContentHash);
        Assert.Equal(new[] { Input, Output }.Order(), Directory.GetFileSystemEntries(_folder.Path).Order());
    }

    [Fact]
    public void An_existing_folder_is_refused_and_an_earlier_export_replaced_only_when_asked()
    {
        RandomCheckpoint.Write(Input);
        string first = OnnxExporter.Export(Input, Output).Manifest.ContentHash;
        RandomCheckpoint.Write(Input, new RandomCheckpointOptions { Seed = 2 });

        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Input, Output));
        Assert.Contains(Output, refused.Message, StringComparison.Ordinal);
        Assert.Equal(first, ModelManifest.Read(Output).ContentHash);

        OnnxExporter.Export(Input, Output, new ExportOptions { Overwrite = true });
        Assert.NotEqual(first, ModelManifest.Read(Output).ContentHash);
        Assert.Equal(new[] { Input, Output }.Order(), Directory.GetFileSystemEntries(_folder.Path).Order());
    }

    [Fact]
    public void A_folder_that_is_no_export_is_never_replaced()
    {
        RandomCheckpoint.Write(Input);
        Directory.CreateDirectory(Output);
        File.WriteAllText(Path.Combine(Output, "thesis.txt"), "the only copy");

        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Input, Output, new ExportOptions { Overwrite = true }));

        Assert.Contains("longcat.json", refused.Message, StringComparison.Ordinal);
        Assert.True(File.Exists(Path.Combine(Output, "thesis.txt")));
    }

    [Fact]
    public void The_checkpoint_itself_and_its_parent_are_refused_as_output()
    {
        RandomCheckpoint.Write(Input);

        foreach (string output in (string[])[Input, Input + "/", _folder.Path])
        {
            Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Input, output, new ExportOptions { Overwrite = true }));
        }

        Assert.True(File.Exists(Path.Combine(Input, "model.safetensors")));
    }

    [Fact]
    public void An_empty_folder_may_be_the_output()
    {
        RandomCheckpoint.Write(Input);
        Directory.CreateDirectory(Output);

        OnnxExporter.Export(Input, Output + "/");

        Assert.True(File.Exists(Path.Combine(Output, "longcat.json")));
    }

    [Fact]
    public void Progress_ends_at_the_size_of_the_data()
    {
        RandomCheckpoint.Write(Input);
        List<ExportProgress> reports = [];

        ExportResult result = OnnxExporter.Export(Input, Output, null, new InlineProgress(reports.Add));

        Assert.Equal(result.DataBytes, reports[^1].BytesDone);
        Assert.All(reports, report => Assert.Equal(result.DataBytes, report.BytesTotal));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1e-6)]
    [InlineData(double.NaN)]
    public void A_latent_epsilon_out_of_range_is_refused(double epsilon)
    {
        RandomCheckpoint.Write(Input);

        Assert.Throws<ArgumentOutOfRangeException>(() => OnnxExporter.Export(Input, Output, new ExportOptions { LatentNormEps = epsilon }));
    }

    [GoldenTheory]
    [InlineData("truncated")]
    [InlineData("header-length")]
    [InlineData("wrong-shape", "model.layers.0.self_attn.0.kv_b_proj.weight")]
    [InlineData("missing-tensor", "model.layers.0.self_attn.1.o_proj.weight")]
    [InlineData("size-mismatch", "model.norm.weight")]
    [InlineData("not-json")]
    [InlineData("missing-shard", "model-00002-of-00002.safetensors")]
    [InlineData("config-mismatch", "model.layers.0.mlp.experts.2")]
    public void A_bad_checkpoint_is_refused_and_nothing_is_written(string name, string? mentions = null)
    {
        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(GoldenFixtures.Path("broken", name), Output));

        Assert.Contains(mentions ?? name, refused.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_missing_tensor_is_named_before_anything_is_written()
    {
        RandomCheckpoint.Write(Input, new RandomCheckpointOptions { Experts = 3 });
        string config = Path.Combine(Input, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"n_routed_experts\":3,\"zero_expert_num\":2", "\"n_routed_experts\":4,\"zero_expert_num\":1", StringComparison.Ordinal));

        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Input, Output));

        Assert.Contains("model.layers.0.mlp.experts.3.gate_proj.weight", refused.Message, StringComparison.Ordinal);
        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void An_unknown_architecture_is_refused_by_name()
    {
        RandomCheckpoint.Write(Input);
        string config = Path.Combine(Input, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("LongcatFlashNgramForCausalLM", "OtherForCausalLM", StringComparison.Ordinal));

        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Input, Output));

        Assert.Contains("OtherForCausalLM", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tensor_of_64_MiB_passes_through_without_being_held()
    {
        // Embedding [65536, 256] float32 is 64 MiB; the output head is another.
        RandomCheckpoint.Write(Input, new RandomCheckpointOptions { VocabSize = 65536, HiddenSize = 256, NGram = false, Zeros = true });
        // The export runs on this thread alone, so other tests' allocations do not count.
        long before = GC.GetAllocatedBytesForCurrentThread();

        ExportResult result = OnnxExporter.Export(Input, Output, new ExportOptions { Precision = WeightPrecision.BF16 });

        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(result.DataBytes > 64 << 20);
        // Conversion holds one piece of 1 Mi elements as float32 and one as bfloat16; the rest is the graph and the headers.
        Assert.True(allocated < 24 << 20, $"the export allocated {allocated:N0} bytes");
    }

    /// <summary>Reports on the exporting thread, unlike <see cref="Progress{T}"/>.</summary>
    private sealed class InlineProgress(Action<ExportProgress> report) : IProgress<ExportProgress>
    {
        public void Report(ExportProgress value) => report(value);
    }
}
