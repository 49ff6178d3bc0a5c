namespace LongCat.ML.Checkpoints.Tests;

/// <summary>streaming_sparse_attention: the pattern, what config.json may say, and the table of scores.</summary>
public sealed class StreamingAttentionConfigTests
{
    // Lite has 28 attentions, the others 4.
    private const string Latent = """{"streaming_sparse_attention": STREAMING, """;
    private const string Llama = """{"architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64, "num_attention_heads": 2, "num_hidden_layers": 4, "vocab_size": 32, "streaming_sparse_attention": STREAMING}""";
    private const string Windowed = """{"architectures": ["MistralForCausalLM"], "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64, "num_attention_heads": 2, "num_hidden_layers": 4, "vocab_size": 32, "sliding_window": 8, "streaming_sparse_attention": STREAMING}""";

    [Theory]
    [InlineData(0, 1)]
    [InlineData(895, 896)]
    [InlineData(896, 897)]
    [InlineData(1023, 1024)]
    [InlineData(1024, 897)]
    [InlineData(131071, 1024)]
    public void A_query_sees_as_many_keys_as_published(long query, int count)
    {
        StreamingAttentionConfig streaming = new() { AttentionLayers = [0] };
        Assert.Equal(1024, streaming.Span);
        int visible = 0;
        for (long key = 0; key <= query + 200; key++)
        {
            visible += streaming.Visible(query, key) ? 1 : 0;
        }

        Assert.Equal(count, visible);
    }

    [Fact]
    public void Visible_keys_are_the_sink_and_what_follows_the_local_start()
    {
        Random random = new(7);
        for (int round = 0; round < 200; round++)
        {
            StreamingAttentionConfig streaming = new() { BlockSize = random.Next(1, 9), SinkBlocks = random.Next(0, 4), LocalBlocks = random.Next(1, 5), AttentionLayers = [0] };
            long query = random.Next(0, 90);
            for (long key = 0; key < 100; key++)
            {
                bool expected = key <= query && (key < streaming.SinkTokens || key >= streaming.LocalStart(query));
                Assert.True(expected == streaming.Visible(query, key), $"{streaming}: query {query}, key {key}");
            }
        }

        StreamingAttentionConfig toy = new() { BlockSize = 4, LocalBlocks = 2, AttentionLayers = [0] };
        Assert.Equal([0, 1, 2, 3, 8, 9, 10, 11, 12, 13], Enumerable.Range(0, 20).Where(key => toy.Visible(13, key)));
    }

    [Fact]
    public void Every_family_reads_the_key()
    {
        LongcatFlashConfig flash = Assert.IsType<LongcatFlashConfig>(Parse(Flash("""{"block_size": 64, "sink_blocks": 0, "local_blocks": 3, "attention_layers": [27, 4, 6]}""")));
        Assert.Equal(28, flash.NumAttentions);
        Assert.Equal(new StreamingAttentionConfig { BlockSize = 64, SinkBlocks = 0, LocalBlocks = 3, AttentionLayers = [4, 6, 27] }, flash.Streaming);
        Assert.True(flash.Streaming!.IsStreaming(27));
        Assert.False(flash.Streaming.IsStreaming(5));
        DecoderConfig llama = Assert.IsType<DecoderConfig>(Parse(Llama.Replace("STREAMING", """{"attention_layers": [1, 3]}""")));
        Assert.Equal(4, llama.NumAttentions);
        Assert.Equal(new StreamingAttentionConfig { BlockSize = 128, SinkBlocks = 1, LocalBlocks = 7, AttentionLayers = [1, 3] }, llama.Streaming);
        Assert.Null(Parse(Llama.Replace("STREAMING", """{"attention_layers": []}""")).Streaming);
        Assert.Null(Parse(Llama.Replace("STREAMING", "null")).Streaming);
        Assert.Null(Parse(ModelConfigTests.Lite).Streaming);
    }

    [Theory]
    [InlineData("7", "streaming_sparse_attention is 7, expected an object")]
    [InlineData("{}", "streaming_sparse_attention.attention_layers is missing, expected the list")]
    [InlineData("""{"attention_layers": [4]}""", "streaming_sparse_attention.attention_layers is 4, expected a list of at most 4 whole numbers from 0 to 3")]
    [InlineData("""{"attention_layers": [-1]}""", "attention_layers is -1, expected a list of at most 4")]
    [InlineData("""{"attention_layers": [1, 0, 1]}""", "attention_layers is a list that has 1 more than once, expected each attention once")]
    [InlineData("""{"attention_layers": "1"}""", "attention_layers is \"1\", expected a list")]
    [InlineData("""{"attention_layers": [1.5]}""", "attention_layers is 1.5, expected a list")]
    [InlineData("""{"attention_layers": [1], "block_size": 0}""", "streaming_sparse_attention.block_size is 0, expected a whole number from 1 to 65536")]
    [InlineData("""{"attention_layers": [1], "block_size": "128"}""", "block_size is \"128\", expected a whole number")]
    [InlineData("""{"attention_layers": [1], "sink_blocks": -1}""", "sink_blocks is -1, expected a whole number from 0 to 8192")]
    [InlineData("""{"attention_layers": [1], "local_blocks": 0}""", "local_blocks is 0, expected a whole number from 1 to 8192")]
    [InlineData("""{"attention_layers": [1], "local_block": 3}""", "streaming_sparse_attention.local_block is given, expected no keys but block_size, sink_blocks, local_blocks, attention_layers")]
    [InlineData("""{"attention_layers": [1], "sink_size": 128}""", "attention_layers is given, expected either block_size, sink_blocks, local_blocks, attention_layers or sink_size, recent_size, sparsity, head_score")]
    [InlineData("""{"sink_size": 128}""", "streaming_sparse_attention.head_score is missing, expected the name of the table")]
    [InlineData("""{"head_score": "scores.tsv"}""", "head_score is \"scores.tsv\", expected a config.json in a folder")]
    [InlineData("""{"head_score": "scores.tsv", "sparsity": 1.5}""", "sparsity is 1.5, expected a number from 0 to 1")]
    public void Bad_values_are_refused_by_name(string value, string message)
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => Parse(Llama.Replace("STREAMING", value)));
        Assert.Contains(message, e.Message);
        Assert.StartsWith("config.json: ", e.Message);
    }

    [Fact]
    public void A_layer_with_a_sliding_window_cannot_stream()
    {
        CheckpointException e = Assert.Throws<CheckpointException>(() => Parse(Windowed.Replace("STREAMING", """{"attention_layers": [2]}""")));
        Assert.Contains("attention_layers is a list with 2, expected layers without a sliding window: layer 2 has one of 8 tokens", e.Message);
    }

    [Fact]
    public void Code_cannot_make_settings_that_config_json_could_not()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new StreamingAttentionConfig { BlockSize = 0, AttentionLayers = [0] });
        Assert.Throws<ArgumentOutOfRangeException>(() => new StreamingAttentionConfig { SinkBlocks = -1, AttentionLayers = [0] });
        Assert.Throws<ArgumentOutOfRangeException>(() => new StreamingAttentionConfig { LocalBlocks = 0, AttentionLayers = [0] });
        Assert.Throws<ArgumentNullException>(() => new StreamingAttentionConfig { AttentionLayers = null! });
        foreach (int[] layers in (int[][])[[], [-1], [2, 1], [1, 1]])
        {
            Assert.Throws<ArgumentException>(() => new StreamingAttentionConfig { AttentionLayers = layers });
        }

        Assert.True(new StreamingAttentionConfig { BlockSize = 65536, SinkBlocks = 8192, LocalBlocks = 8192, AttentionLayers = [0] }.Span > 0);
        ModelConfig llama = Parse(Llama.Replace("STREAMING", "null"));
        new StreamingAttentionConfig { AttentionLayers = [3] }.Validate(llama);
        ArgumentException e = Assert.Throws<ArgumentException>(() => new StreamingAttentionConfig { AttentionLayers = [4] }.Validate(llama));
        Assert.Contains("AttentionLayers has 4, expected indexes from 0 to 3: the model has 4 attentions (one in each of 4 layers)", e.Message);
    }

    [Fact]
    public void Scores_of_heads_choose_whole_attentions()
    {
        using CheckpointFolder folder = new();
        folder.Write("config.json", Llama.Replace("STREAMING", """{"sink_size": 129, "recent_size": 256, "head_score": "scores.tsv"}"""));
        CheckpointException e = Assert.Throws<CheckpointException>(() => ModelConfig.Load(folder.Path));
        Assert.Contains("scores.tsv: the file does not exist", e.Message);

        // Out of range scores are clipped; the median of all eight lies between 0.2 and 0.7.
        folder.Write("scores.tsv", "0.9\t1.5\n0.1\t-3\n0.7\t0.8\r\n0.2\t0.1\n\n");
        Assert.Equal(new StreamingAttentionConfig { BlockSize = 128, SinkBlocks = 2, LocalBlocks = 2, AttentionLayers = [1, 3] }, ModelConfig.Load(folder.Path).Streaming);

        folder.Write("scores.tsv", "0.9\t0.1\n0.1\t0\n0.7\t0.8\n0.2\t0.9\n");
        e = Assert.Throws<CheckpointException>(() => ModelConfig.Load(folder.Path));
        Assert.Contains("1 of 2 heads of attention 0 are below the threshold 0.44", e.Message);
        Assert.Contains("an attention streams as a whole or not at all; name the attentions in attention_layers instead", e.Message);

        foreach ((string table, string message) in (ReadOnlySpan<(string, string)>)[
            ("1 1\n1 1\n", "the table has 2 rows, expected 4, one for each attention"),
            ("1 1\n1\n1 1\n1 1\n", "row 1 has 1 scores, expected 2"),
            ("1 1\n1 nan\n1 1\n1 1\n", "row 1 has \"nan\", expected a number")])
        {
            folder.Write("scores.tsv", table);
            e = Assert.Throws<CheckpointException>(() => ModelConfig.Load(folder.Path));
            Assert.Contains(message, e.Message);
        }

        folder.Write("config.json", Llama.Replace("STREAMING", """{"head_score": "../scores.tsv"}"""));
        e = Assert.Throws<CheckpointException>(() => ModelConfig.Load(folder.Path));
        Assert.Contains("head_score is \"../scores.tsv\", expected a path within the folder of config.json", e.Message);
    }

    private static string Flash(string streaming) => Latent.Replace("STREAMING", streaming) + ModelConfigTests.Lite.TrimStart()[1..];

    private static ModelConfig Parse(string json) => ModelConfig.Parse(json);
}
