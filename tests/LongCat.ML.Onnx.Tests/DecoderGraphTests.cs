using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The files of a decoder's export without running them.</summary>
public sealed class DecoderGraphTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_graph_has_one_cache_per_layer_and_no_ngram_context()
    {
        (ModelProto model, ModelManifest manifest) = Export(new RandomDecoderOptions { Layers = 3 });
        Assert.Equal(
            ["input_ids", "position_ids", "query_start", "context_length", "block_table", "logits_index", "cache.0", "cache.1", "cache.2"],
            model.Graph.Input.Select(input => input.Name));
        Assert.Equal(["logits", "hidden", "cache_out.0", "cache_out.1", "cache_out.2"], model.Graph.Output.Select(value => value.Name));
        Assert.Equal([48, 48, 48], manifest.Caches.Select(cache => cache.Width));
        Assert.Equal(48, model.Graph.Input[^1].Type.TensorType.Shape.Dim[2].DimValue);
        Assert.Null(manifest.DraftCaches);
        Assert.Equal("LlamaForCausalLM", manifest.Architecture);
    }

    [Theory]
    [InlineData(WeightPrecision.F32)]
    [InlineData(WeightPrecision.BF16)]
    public void A_tied_head_is_the_embeddings_own_initializer(WeightPrecision precision)
    {
        (ModelProto model, _) = Export(new RandomDecoderOptions { Architecture = "Qwen3ForCausalLM", Tied = true }, precision);
        TensorProto embedding = model.Graph.Initializer.Single(tensor => tensor.Name == "model.embed_tokens.weight");
        Assert.DoesNotContain(model.Graph.Initializer, tensor => tensor.Name == "lm_head.weight");
        Assert.Equal([272, 48], embedding.Dims);
        Assert.Equal(["Gather", "MatMul"], model.Graph.Node.Where(node => node.Input.Contains(embedding.Name)).Select(node => node.OpType));
        Assert.DoesNotContain(model.Graph.Node.Single(node => node.Output[0] == "logits").Attribute, attribute => attribute is { Name: "layout", I: not 0 });
        (ModelProto untied, _) = Export(new RandomDecoderOptions { Architecture = "Qwen3ForCausalLM" }, precision);
        Assert.Contains(untied.Graph.Initializer, tensor => tensor.Name == "lm_head.weight");
    }

    [Fact]
    public void Attention_carries_heads_window_norms_and_biases()
    {
        (ModelProto model, _) = Export(new RandomDecoderOptions { Architecture = "Qwen3ForCausalLM", HeadDim = 20, Window = 9, FirstWindowLayer = 1, Biases = true });
        NodeProto[] attention = [.. model.Graph.Node.Where(node => node.OpType == "PagedAttention")];
        Dictionary<string, AttributeProto> attributes = attention[1].Attribute.ToDictionary(a => a.Name);
        Assert.Equal(4, attributes["num_heads"].I);
        Assert.Equal(2, attributes["num_kv_heads"].I);
        Assert.Equal(20, attributes["head_dim"].I);
        Assert.Equal(9, attributes["window"].I);
        Assert.Equal(1 / Math.Sqrt(20), attributes["softmax_scale"].F, 1e-7);
        Assert.Equal(0, attention[0].Attribute.Single(a => a.Name == "window").I);
        Assert.Equal("model.layers.1.self_attn.q_norm.weight", attention[1].Input[3]);
        Assert.Equal("rope.inv_freq", attention[1].Input[5]);
        NodeProto query = model.Graph.Node.Single(node => node.Output[0] == attention[1].Input[0]);
        Assert.Equal("model.layers.1.self_attn.q_proj.bias", query.Input[2]);
        NodeProto outputProjection = model.Graph.Node.Single(node => node.Input.Contains(attention[1].Output[0]));
        Assert.Equal("model.layers.1.self_attn.o_proj.bias", outputProjection.Input[2]);
    }

    [Fact]
    public void Without_head_norms_their_inputs_are_left_out()
    {
        (ModelProto model, _) = Export(new RandomDecoderOptions());
        Assert.All(model.Graph.Node.Where(node => node.OpType == "PagedAttention"), node => Assert.Equal(["", ""], node.Input.Skip(3).Take(2)));
    }

    [Theory]
    [InlineData("MixtralForCausalLM", true, "model.layers.1.block_sparse_moe.experts.w2.weight")]
    [InlineData("Qwen3MoeForCausalLM", false, "model.layers.1.mlp.experts.down_proj.weight")]
    public void A_mixture_has_no_correction_bias_and_says_whether_weights_are_normalized(string architecture, bool normalize, string down)
    {
        (ModelProto model, _) = Export(new RandomDecoderOptions { Architecture = architecture, NormalizeTopK = normalize }, WeightPrecision.BF16);
        NodeProto mixture = model.Graph.Node.Last(node => node.OpType == "ExpertMixture");
        Dictionary<string, AttributeProto> attributes = mixture.Attribute.ToDictionary(a => a.Name);
        Assert.Equal("", mixture.Input[2]);
        Assert.Equal(down, mixture.Input[5]);
        Assert.Equal(normalize ? 1 : 0, attributes["normalize"].I);
        Assert.Equal(0, attributes["num_zero_experts"].I);
        Assert.Equal(1f, attributes["routed_scaling_factor"].F);
        Assert.Equal((int)ElementType.Float, model.Graph.Initializer.Single(tensor => tensor.Name == mixture.Input[1]).DataType);
    }

    /// <summary>A row of the table of families without an emitter would fail only when someone exports such a model.</summary>
    [Fact]
    public void Every_supported_family_has_an_emitter()
    {
        string message = Assert.Throws<CheckpointException>(() => ModelConfig.Parse("""{"architectures": ["Unknown"]}""")).Message;
        string[] architectures = [.. message[(message.IndexOf("one of ", StringComparison.Ordinal) + 7)..].Split(", ").Select(name => name.Split(' ')[0])];
        Assert.Equal(9, architectures.Length);
        foreach (string architecture in architectures)
        {
            string folder = RandomDecoder.Architectures.Contains(architecture)
                ? RandomDecoder.Write(_folder[architecture], new RandomDecoderOptions { Architecture = architecture })
                : RandomCheckpoint.Write(_folder[architecture], new RandomCheckpointOptions { NGram = architecture != "LongcatFlashForCausalLM", OverEncodingNames = architecture == "LongcatCausalLM" });
            Assert.Equal(architecture, ModelConfig.Load(folder).Architecture);
            Assert.NotNull(EmitterTable.For(ModelConfig.Load(folder), OperatorSet.LongCat, folder));
        }
    }

    [Fact]
    public void A_download_cache_is_exported_with_its_tokenizer()
    {
        string snapshot = Path.Combine(_folder["models--a--b"], "snapshots", "0a1b2c");
        RandomDecoder.Write(snapshot, new RandomDecoderOptions { Tokenizer = true });
        ExportResult result = OnnxExporter.Export(_folder["models--a--b"], _folder["out"]);
        Assert.Contains("tokenizer.json", result.Manifest.Files.Keys);
        CheckpointException e = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(_folder["models--a--b"], _folder["models--a--b"], new ExportOptions { Overwrite = true }));
        Assert.Contains("is or contains the checkpoint", e.Message);
    }

    private (ModelProto Model, ModelManifest Manifest) Export(RandomDecoderOptions options, WeightPrecision? precision = null)
    {
        OnnxExporter.Export(RandomDecoder.Write(_folder["in"], options), _folder["out"], new ExportOptions { Precision = precision, Overwrite = true });
        return (ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder["out"], ModelManifest.ModelFileName))), ModelManifest.Read(_folder["out"]));
    }
}
