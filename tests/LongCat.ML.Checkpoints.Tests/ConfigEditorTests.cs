using System.Text.Json.Nodes;

namespace LongCat.ML.Checkpoints.Tests;

/// <summary>Single keys of a config.json change; every other byte stays.</summary>
public sealed class ConfigEditorTests
{
    private const string Llama = """
        {
          "architectures": [
            "LlamaForCausalLM"
          ],
          "hidden_size": 32,
          "intermediate_size": 48,
          "max_position_embeddings": 64,
          "num_attention_heads": 2,
          "num_hidden_layers": 4,
          "rms_norm_eps": 1e-05,
          "rope_scaling": null,
          "rope_theta": 10000.0,
          "unknown": {"a":   [1.50, "\u00e9 é", null]},
          "vocab_size": 32
        }

        """;

    [Fact]
    public void A_new_key_goes_behind_the_last_one_in_the_manner_of_the_file()
    {
        ConfigEditor editor = ConfigEditor.Parse(Llama);
        StreamingAttentionConfig streaming = new() { BlockSize = 4, LocalBlocks = 2, AttentionLayers = [1, 3] };
        editor.SetStreaming(streaming);
        Assert.Equal(Llama.Replace("""
              "vocab_size": 32

            """, """
              "vocab_size": 32,
              "streaming_sparse_attention": {
                "block_size": 4,
                "sink_blocks": 1,
                "local_blocks": 2,
                "attention_layers": [
                  1,
                  3
                ]
              }

            """), editor.ToString());
        Assert.Equal(streaming, editor.ToConfig().Streaming);
        editor.SetStreaming(streaming with { AttentionLayers = [0] });
        Assert.Equal([0], editor.ToConfig().Streaming!.AttentionLayers);
        editor.SetStreaming(null);
        Assert.Equal(Llama, editor.ToString());
    }

    [Fact]
    public void The_context_is_extended_in_place()
    {
        ConfigEditor editor = ConfigEditor.Parse(Llama);
        RopeScaling scaling = new() { Type = RopeScalingType.Yarn, Factor = 40, OriginalMaxPositions = 64, MScale = 1, MScaleAllDim = 1 };
        editor.SetContext(2560, scaling);
        Assert.Equal(Llama.Replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 2560").Replace("\"rope_scaling\": null", """
            "rope_scaling": {
                "rope_type": "yarn",
                "factor": 40.0,
                "original_max_position_embeddings": 64,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "mscale": 1.0,
                "mscale_all_dim": 1.0
              }
            """), editor.ToString());
        Assert.Equal(scaling, editor.ToConfig().Rope.Scaling);
        editor.SetContext(64, null);
        Assert.Equal(Llama, editor.ToString());
    }

    public static TheoryData<RopeScaling> Scalings =>
    [
        new() { Type = RopeScalingType.Yarn, Factor = 2.5, OriginalMaxPositions = 64, BetaFast = 16, BetaSlow = 0.5, AttentionFactor = 1.25, Truncate = false },
        new() { Type = RopeScalingType.Llama3, Factor = 8, OriginalMaxPositions = 64, LowFrequencyFactor = 1.5, HighFrequencyFactor = 3 },
        new() { Type = RopeScalingType.Linear, Factor = 1e5, OriginalMaxPositions = 128 },
    ];

    [Theory]
    [MemberData(nameof(Scalings))]
    public void Every_scaling_is_read_back(RopeScaling scaling)
    {
        ConfigEditor editor = ConfigEditor.Parse(Llama);
        editor.SetContext(128, scaling);
        Assert.Equal(scaling, editor.ToConfig().Rope.Scaling);
    }

    [Fact]
    public void Spellings_of_the_file_are_kept()
    {
        ConfigEditor flash = ConfigEditor.Parse(ModelConfigTests.Lite);
        flash.SetContext(1 << 20, new() { Type = RopeScalingType.Yarn, Factor = 32, OriginalMaxPositions = 32768, MScale = 1, MScaleAllDim = 1 });
        Assert.Contains("\"type\": \"deepseek_yarn\"", flash.ToString().Replace("\"type\":\"", "\"type\": \""));
        Assert.Equal(1 << 20, flash.ToConfig().MaxPositions);
        Assert.Equal(5e6, flash.ToConfig().Rope.Theta);

        ConfigEditor newer = ConfigEditor.Parse(Llama.Replace("\"rope_scaling\": null", "\"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"default\"}").Replace("\"rope_theta\": 10000.0,\n", ""));
        newer.SetContext(256, new() { Type = RopeScalingType.Yarn, Factor = 4, OriginalMaxPositions = 64 });
        Assert.DoesNotContain("rope_scaling", newer.ToString());
        Assert.Contains("5e5", newer.ToString());
        Assert.Equal(5e5, newer.ToConfig().Rope.Theta);
        Assert.Equal(4, newer.ToConfig().Rope.Scaling!.Factor);
        newer.SetContext(64, null);
        Assert.Null(newer.ToConfig().Rope.Scaling);
        Assert.Equal(5e5, newer.ToConfig().Rope.Theta);
    }

    [Theory]
    [InlineData("{}", "{\n  \"k\": 1\n}")]
    [InlineData("{ }", "{\n  \"k\": 1\n}")]
    [InlineData("{\"a\": 2}", "{\"a\": 2,\"k\": 1}")]
    [InlineData("{\"a\":2, \"b\":3}\n", "{\"a\":2, \"b\":3, \"k\":1}\n")]
    [InlineData("{\r\n\t\"a\": {\"k\": 5},\r\n\t\"b\": []\r\n}", "{\r\n\t\"a\": {\"k\": 5},\r\n\t\"b\": [],\r\n\t\"k\": 1\r\n}")]
    [InlineData("{\"k\": [1, 2], \"b\": 3}", "{\"k\": 1, \"b\": 3}")]
    public void Every_layout_takes_a_key(string before, string after)
    {
        ConfigEditor editor = ConfigEditor.Parse(before);
        editor.Set("k", 1);
        Assert.Equal(after, editor.ToString());
    }

    [Theory]
    [InlineData("{\"k\": 1}", "{}")]
    [InlineData("{\"k\": 1, \"b\": 3}", "{\"b\": 3}")]
    [InlineData("{\"a\": 1,\n \"k\": {\"x\": [1]}\n}", "{\"a\": 1\n}")]
    [InlineData("{\"a\": 1, \"k\": null, \"b\": 2}", "{\"a\": 1, \"b\": 2}")]
    public void A_key_goes_with_its_comma(string before, string after)
    {
        ConfigEditor editor = ConfigEditor.Parse(before);
        Assert.True(editor.Remove("k"));
        Assert.Equal(after, editor.ToString());
        Assert.False(editor.Remove("k"));
    }

    [Fact]
    public void Saving_writes_a_config_or_nothing()
    {
        using CheckpointFolder folder = new();
        folder.Write("config.json", Llama);
        string file = Path.Combine(folder.Path, "config.json");
        ConfigEditor editor = ConfigEditor.Load(folder.Path);
        Assert.Equal(Llama, editor.ToString());
        editor.Set("num_hidden_layers", JsonValue.Create("four"));
        CheckpointException e = Assert.Throws<CheckpointException>(() => editor.Save(folder.Path));
        Assert.Contains("num_hidden_layers is \"four\", expected a whole number", e.Message);
        Assert.Equal(Llama, File.ReadAllText(file));

        editor.Set("num_hidden_layers", 5);
        editor.Save(folder.Path);
        Assert.Equal(Llama.Replace("_layers\": 4", "_layers\": 5"), File.ReadAllText(file));
        Assert.Equal(["config.json"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));
        e = Assert.Throws<CheckpointException>(() => editor.Save(Path.Combine(folder.Path, "none", "config.json")));
        Assert.Contains("cannot be written", e.Message);
    }

    [Fact]
    public void What_cannot_be_edited_is_refused()
    {
        foreach (string bad in (string[])["", "[1]", "{\"a\": 1", "{\"a\": 1, \"a\": 2}", "{\"a\": 1} x"])
        {
            Assert.Contains("config.json: ", Assert.Throws<CheckpointException>(() => ConfigEditor.Parse(bad)).Message);
        }

        ConfigEditor editor = ConfigEditor.Parse(Llama);
        Assert.Throws<ArgumentException>(() => editor.SetStreaming(new StreamingAttentionConfig { AttentionLayers = [4] }));
        Assert.Throws<ArgumentOutOfRangeException>(() => editor.SetContext(0, null));
        Assert.Throws<ArgumentException>(() => editor.SetContext(64, new() { Type = RopeScalingType.Linear, Factor = double.NaN }));
        Assert.Throws<ArgumentException>(() => editor.Set("", 1));
        Assert.Equal(Llama, editor.ToString());
        Assert.Throws<CheckpointException>(() => ConfigEditor.Parse("{}").SetStreaming(new StreamingAttentionConfig { AttentionLayers = [0] }));
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => ConfigEditor.Load(Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N")))).Message);
    }
}
