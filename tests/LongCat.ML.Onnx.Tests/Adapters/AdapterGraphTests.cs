using Google.Protobuf;
using LongCat.ML.Checkpoints;
using LongCat.ML.Native;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Which modules a graph takes adapters of, what the rewritten graph looks like, and how it finds its weights.</summary>
public sealed class AdapterGraphTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Modules_of_a_graph_say_what_they_read_and_give()
    {
        AdapterGraph graph = AdapterGraph.Read(Export(new RandomCheckpointOptions { Mtp = true }, out _));
        AdaptableModule query = graph.Modules["model.layers.0.self_attn.1.q_b_proj"];
        Assert.Equal((AdaptableModuleKind.Projection, "MatMul", 1L), (query.Kind, query.Operator, query.Layout));
        AdaptableModule latent = graph.Find("model.layers.0.self_attn.0.kv_b_proj");
        Assert.Equal((AdaptableModuleKind.LatentValues, "LatentAttention", 16L), (latent.Kind, latent.Operator, latent.InFeatures));
        AdaptableModule head = graph.Find("lm_head");
        Assert.Equal((AdaptableModuleKind.Head, 48L, 272L), (head.Kind, head.InFeatures, head.OutFeatures));
        Assert.Equal((1, ModelManifest.DataFileName, 48L * 272 * 4), (head.Weight.ElementType, head.Weight.Location, head.Weight.Length));
        Assert.Equal(20, graph.Modules.Count);  // two attentions of five, two MLPs of three, the experts' three, the head
        AdaptableModule experts = graph.Find("model.layers.0.mlp.experts.1.down_proj"), one = experts.Expert(1);
        Assert.Equal((AdaptableModuleKind.Experts, "model.layers.0.mlp.experts.down_proj", 48L), (experts.Kind, experts.Module, experts.OutFeatures));
        Assert.Equal(("model.layers.0.mlp.experts.1.down_proj", experts.Weight.Offset + one.Weight.Length), (one.Module, one.Weight.Offset));
        Assert.Equal(experts.Weight.Length, experts.Experts * one.Weight.Length);
        AdapterGraph draft = AdapterGraph.Read(System.IO.Path.Combine(_folder["out"], ModelManifest.DraftFileName));
        Assert.Contains("model.mtp.layers.0.eh_proj", draft.Modules.Keys);
        Assert.Contains("lm_head", draft.Modules.Keys);
    }

    [Theory]
    [InlineData("model.layers.0.mlp.experts.99.down_proj", "it has the experts 0..")]
    [InlineData("model.layers.0.mlp.router.classifier", "routers are computed inside ExpertMixture, which takes adapters of its experts alone")]
    [InlineData("model.embed_tokens", "embeddings take no adapters at run time")]
    [InlineData("model.ngram_embeddings.embedders.0", "embeddings take no adapters at run time")]
    [InlineData("model.layers.0.self_attn.0.q_proj", "it has no such product; near names: model.layers.0.self_attn.0.")]
    public void A_module_that_takes_no_adapters_is_refused_by_name_with_what_to_do(string module, string reason)
    {
        AdapterGraph graph = AdapterGraph.Read(Export(new RandomCheckpointOptions(), out string path));
        CheckpointException error = Assert.Throws<CheckpointException>(() => graph.Insert([new AdapterSite(module)]));
        Assert.StartsWith($"{path}: the graph cannot take an adapter of {module}: {reason}", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("longcat export <checkpoint> --adapter <peft folder>.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_sites_the_graph_stays_as_it_was()
    {
        string path = Export(new RandomCheckpointOptions(), out _);
        Assert.Equal(ModelProto.Parser.ParseFrom(File.ReadAllBytes(path)), ModelProto.Parser.ParseFrom(AdapterGraph.Read(path).Insert([])));
    }

    [Fact]
    public void A_site_changes_its_product_alone()
    {
        const string Module = "model.layers.0.self_attn.0.o_proj";
        string path = Export(new RandomCheckpointOptions(), out _);
        ModelProto before = ModelProto.Parser.ParseFrom(File.ReadAllBytes(path)), after = ModelProto.Parser.ParseFrom(AdapterGraph.Read(path).Insert([new AdapterSite(Module) { Gain = true }]));
        Assert.Equal(
            new HashSet<string> { AdapterNames.A(Module), AdapterNames.B(Module), AdapterNames.AdapterStart, AdapterNames.Gain(Module), AdapterNames.RowAdapter },
            after.Graph.Input.Select(input => input.Name).Except(before.Graph.Input.Select(input => input.Name)).ToHashSet());
        NodeProto product = after.Graph.Node.Single(node => node.Input.Contains($"{Module}.weight")), lora = after.Graph.Node.Single(node => node.OpType == "LoraMatMul");
        NodeProto plain = before.Graph.Node.Single(node => node.Input.Contains($"{Module}.weight"));
        Assert.Equal([plain.Input[0], plain.Input[1]], product.Input);
        Assert.Equal(
            [plain.Input[0], product.Output[0], AdapterNames.A(Module), AdapterNames.B(Module), AdapterNames.RowAdapter, AdapterNames.AdapterStart, AdapterNames.Gain(Module), "", plain.Input[3]],
            lora.Input);
        Assert.Equal(plain.Output, lora.Output);
        Assert.Equal(before.Graph.Node.Count + 1, after.Graph.Node.Count);
        Assert.Equal(before.Graph.Node.Where(node => node.Name != plain.Name), after.Graph.Node.Where(node => node != lora && node != product));
        Assert.Equal(before.Graph.Initializer, after.Graph.Initializer);
    }

    [Fact]
    public void Over_four_bit_weights_an_adapter_reads_the_floats_that_its_products_rows_were_made_of()
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Mtp = true });
        ExportOptions options = new() { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 } };
        OnnxExporter.Export(_folder["in"], _folder["out"], options);
        foreach (string name in (string[])[ModelManifest.ModelFileName, ModelManifest.DraftFileName])
        {
            AdapterGraph graph = AdapterGraph.Read(System.IO.Path.Combine(_folder["out"], name));
            GraphProto after = ModelProto.Parser.ParseFrom(graph.Insert([.. graph.Modules.Keys.Select(module => new AdapterSite(module))])).Graph;
            int quantized = 0;
            foreach (NodeProto lora in after.Node.Where(node => node.OpType == "LoraMatMul"))
            {
                NodeProto product = after.Node.Single(node => node.Output.Contains(lora.Input[1]));
                if (product.OpType == "W4A8MatMul" && product.Input[1].Length > 0)
                {
                    NodeProto maker = after.Node.Single(node => node.Output.Contains(product.Input[0]));
                    Assert.Equal([maker.Output[0], maker.Output[1], maker.Output[2], maker.Output[3]], (string[])[product.Input[0], product.Input[1], product.Input[2], lora.Input[0]]);
                    Assert.Contains(maker.OpType, (string[])["RmsNormQuantize", "SiluMulQuantize"]);
                    quantized++;
                }
                else
                {
                    Assert.Equal(product.Input[0], lora.Input[0]);
                }
            }

            Assert.Equal(name == ModelManifest.ModelFileName ? 12 : 6, quantized);  // all but the o_projs (and the draft's eh_proj), whose products round their rows themselves
        }
    }

    [Fact]
    public void Equalized_weights_are_refused()
    {
        string path = Export(new RandomCheckpointOptions(), out _);
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(path));
        model.MetadataProps.Add(new StringStringEntryProto { Key = AdapterGraph.EqualizedKey, Value = "1" });
        AdapterGraph graph = AdapterGraph.Parse(model.ToByteArray(), "equalized.onnx");
        CheckpointException error = Assert.Throws<CheckpointException>(() => graph.Insert([new AdapterSite("lm_head")]));
        Assert.StartsWith("equalized.onnx: the graph's weights were equalized", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_module_twice_and_files_that_are_no_graph_are_refused()
    {
        string path = Export(new RandomCheckpointOptions(), out _);
        AdapterGraph graph = AdapterGraph.Read(path);
        ArgumentException twice = Assert.Throws<ArgumentException>(() => graph.Insert([new AdapterSite("lm_head"), new AdapterSite("lm_head")]));
        Assert.Contains("the module lm_head appears twice", twice.Message, StringComparison.Ordinal);
        string config = System.IO.Path.Combine(_folder["in"], "config.json");
        CheckpointException error = Assert.Throws<CheckpointException>(() => AdapterGraph.Read(config));
        Assert.StartsWith($"{config}: the file ", error.Message, StringComparison.Ordinal);
        Assert.Contains("holds no graph, expected an ONNX model", Assert.Throws<CheckpointException>(() => AdapterGraph.Parse([], "empty")).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => AdapterGraph.Read(System.IO.Path.Combine(_folder["in"], "absent.onnx")));
    }

    [Fact]
    public void A_session_of_the_rewritten_bytes_maps_the_folders_data_file()
    {
        // 16 MiB in the head and as much in the embedding.
        string path = Export(new RandomCheckpointOptions { VocabSize = 65_536, HiddenSize = 64, NGram = false }, out _);
        byte[] rewritten = AdapterGraph.Read(path).Insert([new AdapterSite("lm_head"), new AdapterSite("model.layers.0.self_attn.0.q_a_proj")]);
        string data = System.IO.Path.Combine(_folder["out"], ModelManifest.DataFileName);
        using SessionOptions options = new();
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", _folder["out"]);
        using InferenceSession session = new(rewritten, options);

        long mapped = File.ReadLines("/proc/self/maps").Where(line => line.EndsWith(data, StringComparison.Ordinal)).Sum(line =>
        {
            string[] range = line.Split(' ')[0].Split('-');
            return Convert.ToInt64(range[1], 16) - Convert.ToInt64(range[0], 16);
        });
        Assert.True(mapped >= 2 * 65_536 * 64 * 4, $"{mapped} bytes of {data} are mapped, expected at least its two large matrices");
    }

    private string Export(RandomCheckpointOptions options, out string path)
    {
        RandomCheckpoint.Write(_folder["in"], options);
        path = System.IO.Path.Combine(OnnxExporter.Export(_folder["in"], _folder["out"]).Folder, ModelManifest.ModelFileName);
        return path;
    }
}
