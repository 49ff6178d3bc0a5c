using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>What graphs and manifests say that are exported for sparse verification.</summary>
public sealed class SparseVerificationGraphTests : IDisposable
{
    private static readonly string[] StepInputs = ["sparse_rows", "sparse_attention", "sparse_anchors", "sparse_tau", "sparse_experts", "sparse_expert_betas"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<ExportOptions> Exports =>
    [
        new() { SparseVerification = true, Precision = WeightPrecision.F32 },
        new() { SparseVerification = true, Precision = WeightPrecision.BF16, CacheType = CacheType.BFloat16 },
        new() { SparseVerification = true, CacheType = CacheType.Int8, Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } },
    ];

    [Theory]
    [MemberData(nameof(Exports))]
    public void Attentions_of_LongCat_that_see_everything_hand_their_blocks_on(ExportOptions options)
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2, Mtp = true });
        ConfigEditor editor = ConfigEditor.Load(_folder["in"]);
        editor.SetStreaming(new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 0, LocalBlocks = 3, AttentionLayers = [1] });
        editor.Save(_folder["in"]);
        LongcatFlashConfig config = (LongcatFlashConfig)ModelConfig.Load(_folder["in"]);
        OnnxExporter.Export(_folder["in"], _folder["out"], options);
        ModelProto model = Model("model.onnx");
        SparseVerificationLayout layout = ModelManifest.Read(_folder["out"]).SparseVerification!;

        int width = config.CacheWidth;
        Assert.Equal([width, 0, width, width], layout.MeanWidths);
        Assert.Equal((2, config.MoeTopK), (layout.MoeLayers, layout.TopK));
        Assert.Equal(
            ["logits_index", .. StepInputs, "cache.0", "cache.1", "cache.2", "cache.3", "block_means.0", "block_means.2", "block_means.3"],
            model.Graph.Input.Select(input => input.Name).SkipWhile(name => name != "logits_index"));
        Assert.Equal([ElementType.Uint8, ElementType.Int32, ElementType.Uint8, ElementType.Float, ElementType.Int32, ElementType.Float], StepInputs.Select(name => Type(model, name)));
        Assert.Equal([4], Shape(model, "sparse_anchors"));
        Assert.Equal([2, config.MoeTopK - 1], Shape(model, "sparse_expert_betas"));
        Assert.Equal([0, width], Shape(model, "block_means.2"));
        Assert.Equal(["block_means_out.0", "block_means_out.2", "block_means_out.3"], model.Graph.Output.Select(output => output.Name).TakeLast(3));

        NodeProto[] attentions = [.. model.Graph.Node.Where(node => node.OpType == "LatentAttention")];
        CheckPorts(attentions[0], 0, "", first: 13);
        Assert.Equal((10, 2), (attentions[1].Input.Count, attentions[1].Output.Count));
        Assert.DoesNotContain(attentions[1].Attribute, attribute => attribute.Name == "attention");
        CheckPorts(attentions[2], 2, "sparse_blocks.0", first: 13);
        CheckPorts(attentions[3], 3, "sparse_blocks.2", first: 13);

        Assert.DoesNotContain(Model("draft.onnx").Graph.Input, input => input.Name.Contains("sparse", StringComparison.Ordinal) || input.Name.Contains("means", StringComparison.Ordinal));
        Assert.Equal(10, Model("draft.onnx").Graph.Node.Single(node => node.OpType == "LatentAttention").Input.Count);
    }

    [Theory]
    [InlineData("LlamaForCausalLM", 0)]
    [InlineData("Qwen3MoeForCausalLM", 3)]
    public void Attentions_of_decoders_with_a_window_are_left_out(string architecture, int mixtures)
    {
        bool window = architecture == "Qwen3MoeForCausalLM";
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = architecture, Layers = 3, Window = window ? 9 : null, FirstWindowLayer = 2 });
        DecoderConfig config = (DecoderConfig)ModelConfig.Load(_folder["in"]);
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { SparseVerification = true });
        ModelProto model = Model("model.onnx");
        SparseVerificationLayout layout = ModelManifest.Read(_folder["out"]).SparseVerification!;

        int[] widths = [.. Enumerable.Range(0, 3).Select(layer => config.Window(layer) is null ? 24 : 0)];
        Assert.Equal(widths, layout.MeanWidths);
        Assert.Equal((mixtures, mixtures == 0 ? 0 : 2), (layout.MoeLayers, layout.TopK));
        Assert.Equal(mixtures > 0, model.Graph.Input.Any(input => input.Name == "sparse_experts"));
        string before = "";
        foreach ((NodeProto node, int layer) in model.Graph.Node.Where(node => node.OpType == "PagedAttention").Select((node, layer) => (node, layer)))
        {
            if (widths[layer] == 0)
            {
                Assert.Equal(11, node.Input.Count);
                continue;
            }

            CheckPorts(node, layer, before, first: 11);
            before = $"sparse_blocks.{layer}";
        }
    }

    [Fact]
    public void Indexed_attentions_are_never_sparse()
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 1, Indexer = true });
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { SparseVerification = true });
        Assert.Equal([0, 0], ModelManifest.Read(_folder["out"]).SparseVerification!.MeanWidths);
        Assert.DoesNotContain(Model("model.onnx").Graph.Input, input => input.Name.StartsWith("block_means", StringComparison.Ordinal));
    }

    [Fact]
    public void Other_exports_have_none_of_it()
    {
        RandomCheckpoint.Write(_folder["in"]);
        OnnxExporter.Export(_folder["in"], _folder["out"]);
        byte[] graph = File.ReadAllBytes(Path.Combine(_folder["out"], "model.onnx"));
        Assert.DoesNotContain("sparse", System.Text.Encoding.Latin1.GetString(graph), StringComparison.Ordinal);
        Assert.DoesNotContain("block_means", System.Text.Encoding.Latin1.GetString(graph), StringComparison.Ordinal);
        Assert.DoesNotContain("sparse", File.ReadAllText(Path.Combine(_folder["out"], "longcat.json")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_graph_that_is_given_adapters_keeps_the_inputs()
    {
        RandomCheckpoint.Write(_folder["in"]);
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { SparseVerification = true });
        AdapterSite[] sites = [new("model.layers.0.self_attn.1.q_b_proj"), new("model.layers.0.self_attn.1.kv_b_proj")];
        ModelProto adapted = ModelProto.Parser.ParseFrom(AdapterGraph.Read(Path.Combine(_folder["out"], "model.onnx")).Insert(sites));
        NodeProto attention = adapted.Graph.Node.Where(node => node.OpType == "LatentAttention").ElementAt(1);
        CheckPorts(attention, 1, "sparse_blocks.0", first: 13);
        Assert.NotEqual("", attention.Input[10]);
    }

    [Fact]
    public void What_does_not_go_together_is_refused()
    {
        RandomCheckpoint.Write(_folder["in"]);
        Assert.Contains("longcat operators", Refused(new ExportOptions { SparseVerification = true, Operators = OperatorSet.Standard }), StringComparison.Ordinal);
        Assert.Contains("does not go with Probes", Refused(new ExportOptions { SparseVerification = true, Probes = true }), StringComparison.Ordinal);

        string Refused(ExportOptions options) => Assert.ThrowsAny<ArgumentException>(() => OnnxExporter.Export(_folder["in"], _folder["out"], options)).Message;
    }

    private static void CheckPorts(NodeProto node, int attention, string blocks, int first)
    {
        Assert.Equal(["sparse_rows", "sparse_attention", "sparse_anchors", $"block_means.{attention}"], node.Input.Skip(first).Take(4));
        Assert.Equal(blocks, node.Input.ElementAtOrDefault(first + 4) ?? "");
        Assert.Equal([$"block_means_out.{attention}", $"sparse_blocks.{attention}"], node.Output.Skip(2));
        Assert.Equal(attention, node.Attribute.Single(attribute => attribute.Name == "attention").I);
        Assert.Equal("full", node.Attribute.Single(attribute => attribute.Name == "pattern").S.ToStringUtf8());
    }

    private static ElementType Type(ModelProto model, string input) => (ElementType)model.Graph.Input.Single(value => value.Name == input).Type.TensorType.ElemType;

    private static long[] Shape(ModelProto model, string input) => [.. model.Graph.Input.Single(value => value.Name == input).Type.TensorType.Shape.Dim.Select(dimension => dimension.DimValue)];

    private ModelProto Model(string name) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder["out"], name)));
}
