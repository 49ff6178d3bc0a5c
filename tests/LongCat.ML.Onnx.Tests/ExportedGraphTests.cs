using System.Globalization;
using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The files of an export without running them: names, shapes, where the weights lie.</summary>
public sealed class ExportedGraphTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_main_graph_has_the_inputs_and_outputs_of_the_contract()
    {
        ModelProto model = Export(new RandomCheckpointOptions { Layers = 2 });

        Assert.Equal(
            [
                "input_ids Int64 [T]", "position_ids Int64 [T]", "query_start Int32 [S_plus_1]", "context_length Int32 [S]", "block_table Int32 [S, B]",
                "ngram_context Int64 [S, 3]", "logits_index Int64 [L]", "cache.0 Float [pages, page, 24]", "cache.1 Float [pages, page, 24]",
                "cache.2 Float [pages, page, 24]", "cache.3 Float [pages, page, 24]",
            ],
            model.Graph.Input.Select(Line));
        Assert.Equal(
            [
                "logits Float [L, 272]", "hidden Float [T, 48]", "cache_out.0 Float [pages, page, 24]", "cache_out.1 Float [pages, page, 24]",
                "cache_out.2 Float [pages, page, 24]", "cache_out.3 Float [pages, page, 24]",
            ],
            model.Graph.Output.Select(Line));
        Assert.Equal(["=21", "com.microsoft=1", "longcat=1"], model.OpsetImport.Select(opset => $"{opset.Domain}={opset.Version}"));
    }

    [Fact]
    public void Without_ngrams_there_is_no_context_input()
    {
        ModelProto model = Export(new RandomCheckpointOptions { NGram = false });

        Assert.DoesNotContain(model.Graph.Input, input => input.Name == "ngram_context");
        Assert.DoesNotContain(model.Graph.Node, node => node.OpType == "NGramEmbedding");
    }

    [Fact]
    public void The_draft_graph_has_the_inputs_and_outputs_of_the_contract()
    {
        Export(new RandomCheckpointOptions { Mtp = true }, new ExportOptions { CacheType = CacheType.BFloat16 });
        ModelProto draft = Read(ModelManifest.DraftFileName);

        Assert.Equal(
            [
                "input_ids Int64 [T]", "hidden Float [T, 48]", "position_ids Int64 [T]", "query_start Int32 [S_plus_1]", "context_length Int32 [S]",
                "block_table Int32 [S, B]", "logits_index Int64 [L]", "cache.0 Bfloat16 [pages, page, 24]",
            ],
            draft.Graph.Input.Select(Line));
        Assert.Equal(["logits Float [L, 272]", "hidden_out Float [T, 48]", "cache_out.0 Bfloat16 [pages, page, 24]"], draft.Graph.Output.Select(Line));
    }

    [Fact]
    public void Every_weight_is_external_aligned_inside_the_file_and_apart_from_the_others()
    {
        ModelProto model = Export(new RandomCheckpointOptions { Mtp = true });
        long fileLength = new FileInfo(Path.Combine(_folder["out"], ModelManifest.DataFileName)).Length;

        List<(long Offset, long Length)> regions = [.. Regions(model).Concat(Regions(Read(ModelManifest.DraftFileName))).Distinct().Order()];
        long end = 0;
        foreach ((long offset, long length) in regions)
        {
            Assert.Equal(0, offset % 4096);
            Assert.InRange(offset, end, fileLength);
            end = offset + length;
        }

        Assert.Equal(fileLength, end);
    }

    [Fact]
    public void The_draft_shares_embedding_head_and_frequencies_with_the_model()
    {
        ModelProto model = Export(new RandomCheckpointOptions { Mtp = true });
        ModelProto draft = Read(ModelManifest.DraftFileName);

        foreach (string name in (string[])["model.embed_tokens.weight", "lm_head.weight", "rope.inv_freq"])
        {
            Assert.Equal(
                model.Graph.Initializer.Single(tensor => tensor.Name == name).ExternalData.ToString(),
                draft.Graph.Initializer.Single(tensor => tensor.Name == name).ExternalData.ToString());
        }

        Assert.Single(model.Graph.Initializer, tensor => tensor.Name == "rope.inv_freq");
    }

    [Fact]
    public void Experts_lie_one_after_another_and_equal_the_checkpoint()
    {
        ModelProto model = Export(new RandomCheckpointOptions());
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        TensorProto stacked = model.Graph.Initializer.Single(tensor => tensor.Name == "model.layers.0.mlp.experts.down_proj.weight");

        // [E, H, I] = [4, 48, 32]: three panels of 16 outputs each.
        Assert.Equal([4, 3, 32, 16], stacked.Dims);
        float[] packed = MemoryMarshal.Cast<byte, float>(Bytes(stacked)).ToArray();
        for (int e = 0; e < 4; e++)
        {
            float[] rows = checkpoint.ReadFloat32($"model.layers.0.mlp.experts.{e}.down_proj.weight");
            Assert.Equal(rows, Enumerable.Range(0, rows.Length).Select(i => packed[(((((e * 3) + (i / 32 / 16)) * 32) + (i % 32)) * 16) + (i / 32 % 16)]));
        }

        NodeProto mixture = model.Graph.Node.First(node => node.OpType == "ExpertMixture");
        Assert.Equal((1, 32), (mixture.Attribute.Single(a => a.Name == "layout").I, mixture.Attribute.Single(a => a.Name == "intermediate_size").I));
    }

    [Fact]
    public void In_bfloat16_norms_router_and_frequencies_stay_float32()
    {
        ModelProto model = Export(new RandomCheckpointOptions { Yarn = true }, new ExportOptions { Precision = WeightPrecision.BF16 });

        foreach (TensorProto tensor in model.Graph.Initializer)
        {
            bool wide = tensor.Dims.Count == 1 || tensor.Name.Contains("router", StringComparison.Ordinal);
            Assert.True((ElementType)tensor.DataType == (wide ? ElementType.Float : ElementType.Bfloat16), tensor.Name);
        }
    }

    [Theory]
    [InlineData(false, WeightPrecision.F32)]
    [InlineData(true, WeightPrecision.BF16)]
    public void Without_a_precision_the_checkpoints_own_is_kept(bool bfloat16, WeightPrecision expected)
    {
        Export(new RandomCheckpointOptions { BFloat16 = bfloat16 });

        Assert.Equal(expected, ModelManifest.Read(_folder["out"]).Precision);
    }

    [Fact]
    public void Attention_carries_the_yarn_factors_and_the_latent_scales()
    {
        ModelProto model = Export(new RandomCheckpointOptions { Yarn = true });
        Dictionary<string, AttributeProto> attributes = model.Graph.Node.First(node => node.OpType == "LatentAttention").Attribute.ToDictionary(a => a.Name);

        double m = (0.1 * Math.Log(4)) + 1;
        Assert.Equal(m * m / Math.Sqrt(24), attributes["softmax_scale"].F, 1e-7);
        Assert.Equal(1, attributes["rope_multiplier"].F, 1e-7);
        Assert.Equal(Math.Sqrt(48.0 / 16), attributes["query_scale"].F, 1e-6);
        Assert.Equal(Math.Sqrt(48.0 / 16), attributes["latent_scale"].F, 1e-6);
        Assert.Equal(1e-6f, attributes["epsilon"].F);
        Assert.Equal("full", attributes["pattern"].S.ToStringUtf8());
    }

    [Fact]
    public void The_same_checkpoint_gives_the_same_bytes()
    {
        Export(new RandomCheckpointOptions { Mtp = true });
        string first = ModelManifest.Read(_folder["out"]).ContentHash;
        ExportResult second = OnnxExporter.Export(_folder["in"], _folder["again"]);

        Assert.Equal(first, second.Manifest.ContentHash);
    }

    [Theory]
    [InlineData(WeightPrecision.F32)]
    [InlineData(WeightPrecision.BF16)]
    public void Projections_are_packed_in_panels_and_what_others_read_is_not(WeightPrecision precision)
    {
        ModelProto model = Export(new RandomCheckpointOptions { BFloat16 = precision == WeightPrecision.BF16 });
        Dictionary<string, TensorProto> weights = model.Graph.Initializer.ToDictionary(tensor => tensor.Name);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        HashSet<string> packed = [];
        foreach (NodeProto node in model.Graph.Node.Where(node => node.OpType == "MatMul"))
        {
            TensorProto weight = weights[node.Input[1]];
            IReadOnlyList<long> rows = checkpoint.Entry(weight.Name).Shape;
            (long panels, long k) = ((rows[0] + 15) / 16, rows[1]);
            Assert.Equal(precision == WeightPrecision.F32 ? [panels, k, 16] : [panels, (k + 1) / 2, 16, 2], weight.Dims);
            Assert.Equal([("layout", 1L), ("out_features", rows[0])], node.Attribute.Select(attribute => (attribute.Name, attribute.I)));
            packed.Add(weight.Name);
        }

        Assert.Contains("lm_head.weight", packed);
        Assert.Contains("model.layers.0.self_attn.1.o_proj.weight", packed);
        Assert.Equal(checkpoint.Entry("model.embed_tokens.weight").Shape, weights["model.embed_tokens.weight"].Dims);
        Assert.Equal(
            checkpoint.Entry("model.layers.0.self_attn.0.kv_b_proj.weight").Shape, weights["model.layers.0.self_attn.0.kv_b_proj.weight"].Dims);
        Assert.DoesNotContain(
            model.Graph.Node.Where(node => node.OpType != "MatMul").SelectMany(node => node.Input), name => packed.Contains(name));
    }

    private ModelProto Export(RandomCheckpointOptions checkpoint, ExportOptions? options = null)
    {
        OnnxExporter.Export(RandomCheckpoint.Write(_folder["in"], checkpoint), _folder["out"], options);
        return Read(ModelManifest.ModelFileName);
    }

    private ModelProto Read(string name) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder["out"], name)));

    private byte[] Bytes(TensorProto tensor)
    {
        (long offset, long length) = Region(tensor);
        return File.ReadAllBytes(Path.Combine(_folder["out"], ModelManifest.DataFileName)).AsSpan((int)offset, (int)length).ToArray();
    }

    private static IEnumerable<(long Offset, long Length)> Regions(ModelProto model) => model.Graph.Initializer.Select(Region);

    private static (long Offset, long Length) Region(TensorProto tensor)
    {
        Assert.Equal(TensorProto.Types.DataLocation.External, tensor.DataLocation);
        Dictionary<string, string> entries = tensor.ExternalData.ToDictionary(entry => entry.Key, entry => entry.Value);
        Assert.Equal(ModelManifest.DataFileName, entries["location"]);
        return (long.Parse(entries["offset"], CultureInfo.InvariantCulture), long.Parse(entries["length"], CultureInfo.InvariantCulture));
    }

    private static string Line(ValueInfoProto value) =>
        $"{value.Name} {(ElementType)value.Type.TensorType.ElemType} [{string.Join(", ", value.Type.TensorType.Shape.Dim.Select(Text))}]";

    private static string Text(TensorShapeProto.Types.Dimension dimension) =>
        dimension.ValueCase == TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam ? dimension.DimParam : dimension.DimValue.ToString(CultureInfo.InvariantCulture);
}
