using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>What the graphs and the manifest of a model with streaming attentions say, in every kind of export.</summary>
public sealed class StreamingGraphTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<ExportOptions> Exports =>
    [
        new() { Precision = WeightPrecision.F32 },
        new() { Precision = WeightPrecision.BF16, CacheType = CacheType.BFloat16 },
        new() { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } },
        new() { Probes = true },
    ];

    [Theory]
    [MemberData(nameof(Exports))]
    public void Streaming_attentions_of_LongCat_read_a_table_and_pools_of_their_own(ExportOptions options)
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2, Mtp = true });
        StreamingAttentionConfig streaming = Set(_folder["in"], 0, 3);
        ExportResult result = OnnxExporter.Export(_folder["in"], _folder["out"], options);
        ModelProto model = Model("model.onnx");

        Assert.Equal(
            ["input_ids", "position_ids", "query_start", "context_length", "block_table", "streaming_block_table", "ngram_context", "logits_index", "cache.0", "cache.1", "cache.2", "cache.3"],
            model.Graph.Input.Select(input => input.Name));
        Assert.Equal(["S", "B"], Dimensions(model.Graph.Input[5]));
        Assert.Equal(["streaming_pages", "pages", "pages", "streaming_pages"], model.Graph.Input.Where(input => input.Name.StartsWith("cache.", StringComparison.Ordinal)).Select(Pages));
        Assert.Equal(["streaming_pages", "pages", "pages", "streaming_pages"], model.Graph.Output.Where(output => output.Name.StartsWith("cache_out.", StringComparison.Ordinal)).Select(Pages));
        NodeProto[] attentions = [.. model.Graph.Node.Where(node => node.OpType == "LatentAttention")];
        Assert.Equal(4, attentions.Length);
        for (int i = 0; i < attentions.Length; i++)
        {
            CheckPattern(attentions[i], streaming, i, tableInput: 8);
        }

        // The draft head sees everything.
        ModelProto draft = Model("draft.onnx");
        Assert.DoesNotContain(draft.Graph.Input, input => input.Name == "streaming_block_table");
        Assert.All(draft.Graph.Input.Concat(draft.Graph.Output).Where(value => value.Name.StartsWith("cache", StringComparison.Ordinal)), value => Assert.Equal("pages", Pages(value)));
        NodeProto drafted = draft.Graph.Node.Single(node => node.OpType == "LatentAttention");
        Assert.Equal("full", Text(drafted, "pattern"));
        Assert.Equal("block_table", drafted.Input[8]);

        Assert.Equal(streaming, result.Manifest.Streaming);
        Assert.Equal(streaming, ModelManifest.Read(_folder["out"]).Streaming);
    }

    [Theory]
    [InlineData("LlamaForCausalLM")]
    [InlineData("MistralForCausalLM")]
    [InlineData("MixtralForCausalLM")]
    [InlineData("Qwen2ForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    [InlineData("Qwen3MoeForCausalLM")]
    public void Streaming_attentions_of_decoders_read_a_table_and_pools_of_their_own(string architecture)
    {
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = architecture, Layers = 3 });
        StreamingAttentionConfig streaming = Set(_folder["in"], 1, 2);
        OnnxExporter.Export(_folder["in"], _folder["out"]);
        ModelProto model = Model("model.onnx");

        Assert.Equal(["block_table", "streaming_block_table", "logits_index", "cache.0"], model.Graph.Input.Skip(4).Take(4).Select(input => input.Name));
        Assert.Equal(["pages", "streaming_pages", "streaming_pages"], model.Graph.Input.TakeLast(3).Select(Pages));
        Assert.Equal(["pages", "streaming_pages", "streaming_pages"], model.Graph.Output.TakeLast(3).Select(Pages));
        NodeProto[] attentions = [.. model.Graph.Node.Where(node => node.OpType == "PagedAttention")];
        for (int i = 0; i < 3; i++)
        {
            CheckPattern(attentions[i], streaming, i, tableInput: 9);
        }

        Assert.Equal(streaming, ModelManifest.Read(_folder["out"]).Streaming);
    }

    [Fact]
    public void A_model_without_streaming_attentions_is_exported_as_before()
    {
        RandomCheckpoint.Write(_folder["in"]);
        OnnxExporter.Export(_folder["in"], _folder["out"]);
        ModelProto model = Model("model.onnx");
        Assert.DoesNotContain(model.Graph.Input, input => input.Name == "streaming_block_table");
        Assert.All(model.Graph.Node.Where(node => node.OpType == "LatentAttention"), node =>
        {
            Assert.Equal("full", Text(node, "pattern"));
            Assert.DoesNotContain(node.Attribute, attribute => attribute.Name is "block_size" or "sink_blocks" or "local_blocks");
        });
        Assert.Null(ModelManifest.Read(_folder["out"]).Streaming);
        Assert.DoesNotContain("streaming", File.ReadAllText(Path.Combine(_folder["out"], "longcat.json")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_that_is_given_adapters_keeps_the_streaming_inputs()
    {
        RandomCheckpoint.Write(_folder["in"]);
        StreamingAttentionConfig streaming = Set(_folder["in"], 1);
        OnnxExporter.Export(_folder["in"], _folder["out"]);
        AdapterSite[] sites = [new("model.layers.0.self_attn.1.q_b_proj"), new("model.layers.0.self_attn.1.kv_b_proj"), new("lm_head")];
        ModelProto adapted = ModelProto.Parser.ParseFrom(AdapterGraph.Read(Path.Combine(_folder["out"], "model.onnx")).Insert(sites));
        Assert.Contains(adapted.Graph.Input, input => input.Name == "streaming_block_table");
        NodeProto[] attentions = [.. adapted.Graph.Node.Where(node => node.OpType == "LatentAttention")];
        CheckPattern(attentions[0], streaming, 0, tableInput: 8);
        CheckPattern(attentions[1], streaming, 1, tableInput: 8);
        Assert.True(attentions[1].Input.Count > 10, "the adapter of kv_b_proj");
    }

    [Theory]
    [InlineData("""{"attention_layers": [2]}""", "attention_layers is 2")]
    [InlineData("""{"attention_layers": [0], "block_size": -4}""", "block_size is -4")]
    [InlineData("""{"head_score": "none.tsv"}""", "none.tsv: the file does not exist")]
    public void A_bad_setting_leaves_nothing_behind(string setting, string message)
    {
        RandomCheckpoint.Write(_folder["in"]);
        string config = Path.Combine(_folder["in"], "config.json");
        File.WriteAllText(config, $"{{\"streaming_sparse_attention\": {setting}, {File.ReadAllText(config).TrimStart()[1..]}");
        foreach (OperatorSet operators in (OperatorSet[])[OperatorSet.LongCat, OperatorSet.Standard])
        {
            CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Operators = operators }));
            Assert.Contains(message, refused.Message, StringComparison.Ordinal);
            Assert.Equal([_folder["in"]], Directory.GetFileSystemEntries(_folder.Path));
        }
    }

    [Fact]
    public void Standard_operators_have_no_second_pool()
    {
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { HeadDim = 16 });
        Set(_folder["in"], 1);
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Operators = OperatorSet.Standard });
        Assert.Null(ModelManifest.Read(_folder["out"]).Streaming);
        NodeProto[] attentions = [.. Model("model.onnx").Graph.Node.Where(node => node.OpType == "GroupQueryAttention")];
        Assert.Equal([9, 11], attentions.Select(node => node.Input.Count));
        Assert.Equal("step.streaming.bias", attentions[1].Input[10]);
    }

    private static StreamingAttentionConfig Set(string folder, params int[] attentions)
    {
        StreamingAttentionConfig streaming = new() { BlockSize = 4, SinkBlocks = 0, LocalBlocks = 3, AttentionLayers = attentions };
        ConfigEditor editor = ConfigEditor.Load(folder);
        editor.SetStreaming(streaming);
        editor.Save(folder);
        return streaming;
    }

    private static void CheckPattern(NodeProto node, StreamingAttentionConfig streaming, int attention, int tableInput)
    {
        bool streams = streaming.IsStreaming(attention);
        Assert.Equal(streams ? "streaming" : "full", Text(node, "pattern"));
        Assert.Equal(streams ? "streaming_block_table" : "block_table", node.Input[tableInput]);
        Assert.Equal(
            streams ? [("block_size", 4L), ("sink_blocks", 0L), ("local_blocks", 3L)] : Array.Empty<(string, long)>(),
            node.Attribute.Where(attribute => attribute.Name is "block_size" or "sink_blocks" or "local_blocks").Select(attribute => (attribute.Name, attribute.I)));
    }

    private static string Text(NodeProto node, string attribute) => node.Attribute.Single(a => a.Name == attribute).S.ToStringUtf8();

    private static string[] Dimensions(ValueInfoProto value) => [.. value.Type.TensorType.Shape.Dim.Select(dimension => dimension.DimParam)];

    private static string Pages(ValueInfoProto value) => Dimensions(value)[0];

    private ModelProto Model(string name) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder["out"], name)));
}
