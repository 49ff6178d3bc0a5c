namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Shards and their index: what it may say, and that the files agree with it.</summary>
public sealed class CheckpointShardTests : IDisposable
{
    private readonly CheckpointFolder folder = new();

    public CheckpointShardTests() => folder.Write("config.json", CheckpointFolder.FlashConfig);

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("../outside.safetensors")]
    [InlineData("sub/../../outside.safetensors")]
    [InlineData("/etc/passwd")]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("")]
    [InlineData("a//b.safetensors")]
    [InlineData("a/./b.safetensors")]
    [InlineData("..\\\\outside.safetensors")]
    [InlineData("C:outside.safetensors")]
    [InlineData("a\\u0000b.safetensors")]
    [InlineData("sub/")]
    public void An_index_that_points_outside_the_folder_is_refused(string shard)
    {
        folder.Write("model.safetensors.index.json", $$$"""{"weight_map":{"a":"{{{shard}}}"}}""");
        CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoint.Open(folder.Path));
        Assert.Contains("expected a file inside the checkpoint's folder", e.Message);
        Assert.Equal("a", e.Tensor);
    }

    [Theory]
    [InlineData("""{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}""", "names it twice")]
    [InlineData("""{"weight_map":{"a":"1.safetensors"},"weight_map":{}}""", "weight_map twice")]
    [InlineData("""{"weight_map":{"a":1}}""", "gives no text")]
    [InlineData("""{"weight_map":[]}""", "weight_map is no object")]
    [InlineData("""{"metadata":{}}""", "weight_map is missing")]
    [InlineData("""[]""", "holds no JSON object")]
    [InlineData("", "not valid JSON")]
    [InlineData("""{"weight_map":{"a":"1.safetensors"}""", "not valid JSON")]
    [InlineData("""{"metadata":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]],"weight_map":{}}""", "not valid JSON")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"3.safetensors"}}""", "the index names 3.safetensors, which is not there (1 of 3 shards missing)")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","x":"2.safetensors"}}""", "tensor x: the index says this shard, but the shard does not hold it")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}}""", "tensor b: the index says this shard, but it is in")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","c":"twice.safetensors"}}""", "tensor a: is in two shards")]
    public void An_index_that_does_not_fit_its_shards_is_refused(string index, string fact)
    {
        folder.WriteTensors("1.safetensors", [new("a", TensorType.Float32, [2])]);
        folder.WriteTensors("2.safetensors", [new("b", TensorType.Float32, [2]), new("c", TensorType.Float32, [2])]);
        folder.WriteTensors("twice.safetensors", [new("a", TensorType.Float32, [2]), new("c", TensorType.Float32, [2])]);
        folder.Write("model.safetensors.index.json", index);
        Assert.Contains(fact, Assert.Throws<CheckpointException>(() => Checkpoint.Open(folder.Path)).Message);
    }

    [Fact]
    public void Shards_in_a_subfolder_are_found_and_closed_together()
    {
        Directory.CreateDirectory(folder.File("weights"));
        folder.WriteTensors("weights/1.safetensors", [new("a", TensorType.Float32, [2])]);
        folder.WriteTensors("2.safetensors", [new("b", TensorType.Float32, [2])]);
        folder.Write("model.safetensors.index.json", """{"metadata":{"total_size":16},"weight_map":{"a":"weights/1.safetensors","b":"2.safetensors"}}""");
        Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        Assert.Equal(2, checkpoint.ReadFloat32("a").Length);
        Assert.Equal(2, checkpoint.ReadFloat32("b").Length);
        checkpoint.Dispose();
        Assert.Throws<ObjectDisposedException>(() => checkpoint.ReadFloat32("a"));
        if (OperatingSystem.IsLinux())
        {
            Assert.DoesNotContain(folder.Path, File.ReadAllText("/proc/self/maps"));
        }
    }

    [Fact]
    public void Folders_without_config_or_weights_say_what_is_missing()
    {
        Assert.Contains("the folder does not exist", Assert.Throws<CheckpointException>(() => Checkpoint.Open(folder.File("none"))).Message);
        Assert.Contains("neither model.safetensors nor model.safetensors.index.json", Assert.Throws<CheckpointException>(() => Checkpoint.Open(folder.Path)).Message);
        File.Delete(folder.File("config.json"));
        CheckpointException e = Assert.Throws<CheckpointException>(() => Checkpoint.Open(folder.Path));
        Assert.EndsWith("config.json: the file does not exist", e.Message);
    }

    [Fact]
    public void Missing_extra_and_misshapen_tensors_are_listed_together()
    {
        LongcatFlashConfig config = Assert.IsType<LongcatFlashConfig>(ModelConfig.Load(folder.Path));
        List<TensorDeclaration> tensors = [.. config.ExpectedTensors(withMtp: false).Select(t => new TensorDeclaration(t.Name, TensorType.Float32, t.Shape))];
        tensors.RemoveAll(t => t.Name == "model.norm.weight");
        tensors.Add(new("model.surprise", TensorType.Float32, [1]));
        tensors.Add(new("model.layers.0.self_attn.0.indexer.wk.weight", TensorType.Float32, [1]));
        tensors.Add(new("model.layers.0.self_attn.0.rotary_emb.inv_freq", TensorType.Float32, [2]));
        int head = tensors.FindIndex(t => t.Name == "lm_head.weight");
        tensors[head] = tensors[head] with { Shape = [16, 32] };
        folder.WriteTensors("model.safetensors", tensors);
        using Checkpoint checkpoint = Checkpoint.Open(folder.Path);
        CheckpointException e = Assert.Throws<CheckpointException>(() => checkpoint.Validate());
        Assert.Contains("1 missing, 2 extra, 1 with the wrong shape or type", e.Message);
        Assert.Contains("tensor model.norm.weight [16] is missing", e.Message);
        Assert.Contains("tensor lm_head.weight has shape [16, 32], the config calls for [32, 16]", e.Message);
        Assert.Contains("tensor model.surprise is in the checkpoint, the config calls for none", e.Message);
        Assert.Contains("LongCat Sparse Attention, which is not supported", e.Message);
        Assert.DoesNotContain("inv_freq", e.Message);
    }
}
