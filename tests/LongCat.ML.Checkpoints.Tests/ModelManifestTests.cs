using System.Text.Json.Nodes;
using LongCat.ML.TestShared;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>longcat.json is read strictly: whatever is missing, mistyped, unknown or out of range is named.</summary>
public sealed class ModelManifestTests : IDisposable
{
    private const string Hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_written_is_read_back()
    {
        ModelManifest written = Sample();
        written.Write(Folder());

        ModelManifest read = ModelManifest.Read(Folder());

        Assert.Equal(written.Architecture, read.Architecture);
        Assert.Equal(written.Precision, read.Precision);
        Assert.Equal((written.VocabSize, written.HiddenSize, written.MaxPositions), (read.VocabSize, read.HiddenSize, read.MaxPositions));
        Assert.Equal(written.BosTokenId, read.BosTokenId);
        Assert.Equal(written.EosTokenIds, read.EosTokenIds);
        Assert.Equal(written.NgramNeighbors, read.NgramNeighbors);
        Assert.Equal(written.Caches, read.Caches);
        Assert.Equal(written.DraftCaches, read.DraftCaches);
        Assert.Equal(written.CacheType, read.CacheType);
        Assert.Equal(written.Files.OrderBy(f => f.Key), read.Files.OrderBy(f => f.Key));
        Assert.Equal(written.ContentHash, read.ContentHash);
        read.VerifyFiles(Folder());
    }

    [Fact]
    public void Streaming_caches_are_read_back()
    {
        StreamingAttentionConfig streaming = new() { BlockSize = 64, SinkBlocks = 2, LocalBlocks = 5, AttentionLayers = [1] };
        (Sample() with { Streaming = streaming }).Write(Folder());
        Assert.Equal(streaming, ModelManifest.Read(Folder()).Streaming);
        CheckpointException refused = Assert.Throws<CheckpointException>(() => (Sample() with { Streaming = streaming, Operators = OperatorSet.Standard, CacheType = CacheType.Float32 }).Write(Folder()));
        Assert.Contains("streaming is present; expected none in an export with standard operators", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Inputs_for_sparse_verification_are_read_back()
    {
        SparseVerificationLayout sparse = new() { MeanWidths = [.. Sample().Caches.Select((_, i) => i == 1 ? 0 : 48)], FfnLayers = 6, MoeLayers = 3, TopK = 4 };
        (Sample() with { SparseVerification = sparse }).Write(Folder());
        SparseVerificationLayout? read = ModelManifest.Read(Folder()).SparseVerification;
        Assert.Equal(sparse, read);
        Assert.Equal(sparse.GetHashCode(), read!.GetHashCode());
        Assert.Equal(Sample().Caches.Count, read.Attentions);
        Assert.Equal(4 * 48 * (Sample().Caches.Count - 1), read.MeanBytesPerPage);
        Assert.NotEqual(sparse, sparse with { TopK = 5 });
        Assert.NotEqual(sparse, sparse with { FfnLayers = 0 });
        Sample().Write(Folder());
        Assert.Null(ModelManifest.Read(Folder()).SparseVerification);
    }

    [Theory]
    [InlineData(0, 0, 0, "sparse_verification.attentions is 0; expected 1 to")]
    [InlineData(99, 0, 0, "sparse_verification.attentions is 99; expected 1 to")]
    [InlineData(1, -1, 0, "sparse_verification.moe_layers is -1; expected 0 or more")]
    [InlineData(1, 2, 1, "sparse_verification.topk is 1; expected at least 2")]
    [InlineData(1, 0, 2, "sparse_verification.topk is 2; expected 0 without mixtures")]
    public void Bad_inputs_for_sparse_verification_are_refused(int attentions, int layers, int top, string message)
    {
        SparseVerificationLayout sparse = new() { MeanWidths = [.. Enumerable.Repeat(8, attentions)], MoeLayers = layers, TopK = top };
        CheckpointException refused = Assert.Throws<CheckpointException>(() => (Sample() with { SparseVerification = sparse }).Write(Folder()));
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"attentions\": 2", "\"attentions\": 3", "sparse_verification.attentions is 3; expected 2, the number of mean_widths")]
    [InlineData("\"ffn_layers\": 0", "\"ffn_layers\": -1", "sparse_verification.ffn_layers is -1; expected 0 or more")]
    [InlineData("\"attentions\": 2", "\"attention\": 2", "unknown key sparse_verification.attention;")]
    [InlineData("\"topk\": 0", "\"topk\": \"0\"", "sparse_verification.topk is \"0\"; expected a whole number of 32 bits")]
    [InlineData("\"mean_widths\": [", "\"mean_widths\": [-5,", "expected 3, the number of mean_widths")]
    public void An_edited_record_of_sparse_verification_is_refused(string text, string other, string message)
    {
        (Sample() with { SparseVerification = new SparseVerificationLayout { MeanWidths = [8, 8] } }).Write(Folder());
        string path = Path.Combine(Folder(), ModelManifest.FileName), manifest = File.ReadAllText(path);
        Assert.Contains(text, manifest, StringComparison.Ordinal);
        File.WriteAllText(path, manifest.Replace(text, other, StringComparison.Ordinal));
        Assert.Contains(message, Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CacheType.Float32, "float32", 4)]
    [InlineData(CacheType.BFloat16, "bfloat16", 2)]
    [InlineData(CacheType.Int8, "int8", 1)]
    public void Cache_types_have_a_name_and_a_size(CacheType type, string name, int bytes)
    {
        (Sample() with { CacheType = type }).Write(Folder());
        Assert.Equal(type, ModelManifest.Read(Folder()).CacheType);
        Assert.Contains($"\"cache_type\": \"{name}\"", File.ReadAllText(Path.Combine(Folder(), ModelManifest.FileName)), StringComparison.Ordinal);
        Assert.Equal(bytes, type.ElementSize());
        Assert.Equal(
            type != CacheType.Float32,
            Record.Exception(() => (Sample() with { CacheType = type, Operators = OperatorSet.Standard }).Write(Folder())) is CheckpointException);
    }

    [Fact]
    public void The_content_hash_is_the_one_of_the_documented_lines()
    {
        // printf 'draft.onnx %s\nmodel.onnx %s\n' $h $h | sha256sum, h = sha256 of "abc"
        string lines = $"draft.onnx {Hash}\nmodel.onnx {Hash}\n";
        string expected = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(lines)));

        Assert.Equal(expected, Sample().ContentHash);
    }

    [Fact]
    public void Names_that_are_no_text_are_refused()
    {
        Sample().Write(Folder());
        string path = Path.Combine(Folder(), ModelManifest.FileName);
        string text = File.ReadAllText(path);

        // Half of a two-byte character in the name of a key; half of a surrogate pair in a value.
        File.WriteAllBytes(path, System.Text.Encoding.Latin1.GetBytes(text.Replace("vocab_size", "vocab\u00C7size", StringComparison.Ordinal)));
        Assert.Contains("no valid Unicode", Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder())).Message, StringComparison.Ordinal);
        File.WriteAllText(path, text.Replace("\"bf16\"", "\"\\ud800\"", StringComparison.Ordinal).Replace("\"f32\"", "\"\\ud800\"", StringComparison.Ordinal));
        Assert.Contains("no valid Unicode", Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder())).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("format_version", "2", "format_version is 2")]
    [InlineData("format_version", "\"1\"", "format_version")]
    [InlineData("architecture", "7", "architecture")]
    [InlineData("architecture", "\"\"", "architecture")]
    [InlineData("precision", "\"int8\"", "f32, bf16, int4 or w4a8")]
    [InlineData("ops", "\"torch\"", "longcat or standard")]
    [InlineData("vocab_size", "0", "vocab_size is 0")]
    [InlineData("vocab_size", "3000000000", "vocab_size")]
    [InlineData("vocab_size", "1.5", "vocab_size")]
    [InlineData("hidden_size", "-4", "hidden_size is -4")]
    [InlineData("max_positions", "null", "max_positions")]
    [InlineData("bos_token_id", "300", "bos_token_id is 300")]
    [InlineData("eos_token_ids", "2", "eos_token_ids")]
    [InlineData("eos_token_ids", "[2, 999]", "999")]
    [InlineData("ngram_neighbors", "1", "ngram_neighbors is 1")]
    [InlineData("caches", "[]", "caches")]
    [InlineData("caches", "[{\"width\": 0}]", "width is 0")]
    [InlineData("caches", "[{\"width\": 8, \"heads\": 2}]", "caches[0].heads")]
    [InlineData("draft_caches", "[]", "draft_caches")]
    [InlineData("cache_type", "\"float16\"", "float32, bfloat16 or int8")]
    [InlineData("streaming", "[]", "streaming is []; expected an object with the keys block_size, sink_blocks, local_blocks and caches")]
    [InlineData("streaming", "null", "streaming is null; expected an object")]
    [InlineData("streaming", "{}", "the key block_size is missing")]
    [InlineData("streaming", "{\"block_size\": 4, \"sink_blocks\": 1, \"local_blocks\": 2, \"caches\": []}", "streaming is {\"block_size\"")]
    [InlineData("streaming", "{\"block_size\": 4, \"sink_blocks\": 1, \"local_blocks\": 2, \"caches\": [1, 0]}", "entry 1 is 0, expected more than the entry before it (1)")]
    [InlineData("streaming", "{\"block_size\": 4, \"sink_blocks\": 1, \"local_blocks\": 2, \"caches\": [0, 2]}", "streaming.caches is 2; expected indexes of the 2 caches")]
    [InlineData("streaming", "{\"block_size\": 0, \"sink_blocks\": 1, \"local_blocks\": 2, \"caches\": [0]}", "expected a whole number from 1 to 65536")]
    [InlineData("streaming", "{\"block_size\": \"4\", \"sink_blocks\": 1, \"local_blocks\": 2, \"caches\": [0]}", "streaming.block_size is \"4\"")]
    [InlineData("streaming", "{\"block_size\": 4, \"sink_blocks\": 1, \"local_blocks\": 2, \"caches\": [0], \"heads\": 2}", "unknown key streaming.heads")]
    [InlineData("files", "[]", "files")]
    [InlineData("files", "{}", "model.onnx")]
    [InlineData("content_hash", "\"00\"", "content_hash")]
    [InlineData("extra", "1", "unknown key extra")]
    public void A_wrong_value_is_named(string key, string value, string mentions)
    {
        Sample().Write(Folder());
        Edit(json => json[key] = JsonNode.Parse(value));

        CheckpointException refused = Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder()));

        Assert.Contains("longcat.json", refused.Message, StringComparison.Ordinal);
        Assert.Contains(mentions, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("format_version")]
    [InlineData("architecture")]
    [InlineData("precision")]
    [InlineData("vocab_size")]
    [InlineData("hidden_size")]
    [InlineData("max_positions")]
    [InlineData("eos_token_ids")]
    [InlineData("ngram_neighbors")]
    [InlineData("caches")]
    [InlineData("draft_caches")]
    [InlineData("cache_type")]
    [InlineData("files")]
    [InlineData("content_hash")]
    public void A_missing_key_is_named(string key)
    {
        Sample().Write(Folder());
        Edit(json => json.Remove(key));

        CheckpointException refused = Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder()));

        Assert.Contains(key, refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../model.onnx")]
    [InlineData("a/b")]
    [InlineData("a\\b")]
    [InlineData("..")]
    [InlineData("longcat.json")]
    public void A_file_outside_the_folder_is_refused(string name)
    {
        ModelManifest manifest = Sample();
        Dictionary<string, ManifestFile> files = new(manifest.Files) { [name] = new ManifestFile(3, Hash) };

        Assert.Throws<CheckpointException>(() => (manifest with { Files = files }).Write(Folder()));
        Assert.False(File.Exists(Path.Combine(Folder(), ModelManifest.FileName)));
    }

    [Fact]
    public void Truncated_json_is_refused()
    {
        Sample().Write(Folder());
        string path = Path.Combine(Folder(), ModelManifest.FileName);
        string text = File.ReadAllText(path);
        for (int length = 0; length < text.Length - 1; length += 37)
        {
            File.WriteAllText(path, text[..length]);
            Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder()));
        }
    }

    [Fact]
    public void A_missing_or_shortened_file_is_refused_at_once_and_a_changed_one_when_verified()
    {
        Sample().Write(Folder());
        string path = Path.Combine(Folder(), "model.onnx");

        File.WriteAllText(path, "xyz");
        CheckpointException changed = Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder()).VerifyFiles(Folder()));
        Assert.Equal(path, changed.File);

        File.WriteAllText(path, "ab");
        Assert.Contains("2 bytes", Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder())).Message, StringComparison.Ordinal);

        File.Delete(path);
        Assert.Contains("missing", Assert.Throws<CheckpointException>(() => ModelManifest.Read(Folder())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_manifest_says_what_to_do()
    {
        Directory.CreateDirectory(_folder["model"]);

        Assert.Contains("longcat export", Assert.Throws<CheckpointException>(() => ModelManifest.Read(_folder["model"])).Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => ModelManifest.Read(_folder["elsewhere"])).Message, StringComparison.Ordinal);
    }

    private string Folder()
    {
        string folder = _folder["model"];
        if (!Directory.Exists(folder))
        {
            Directory.CreateDirectory(folder);
            File.WriteAllText(Path.Combine(folder, "model.onnx"), "abc");
            File.WriteAllText(Path.Combine(folder, "draft.onnx"), "abc");
        }

        return folder;
    }

    private void Edit(Action<JsonObject> edit)
    {
        string path = Path.Combine(Folder(), ModelManifest.FileName);
        JsonObject json = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        edit(json);
        File.WriteAllText(path, json.ToJsonString());
    }

    private static ModelManifest Sample() => new()
    {
        Architecture = "LongcatFlashNgramForCausalLM",
        Precision = WeightPrecision.BF16,
        VocabSize = 256,
        HiddenSize = 48,
        MaxPositions = 1024,
        BosTokenId = 1,
        EosTokenIds = [2, 7],
        NgramNeighbors = 4,
        Caches = [new CacheLayout(24), new CacheLayout(24)],
        DraftCaches = [new CacheLayout(24)],
        CacheType = CacheType.BFloat16,
        Files = new Dictionary<string, ManifestFile> { ["model.onnx"] = new(3, Hash), ["draft.onnx"] = new(3, Hash) },
    };
}
