using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Probe exports: the graph of calibration says what every linear layer reads.</summary>
[Collection(KernelPath.Collection)]
public sealed class ProbeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Models => ["Llama with biases", "Qwen3-MoE, weights not normalized", "Mixtral with a window", "Flash", "Lite with draft head"];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Models))]
    public void Every_projection_is_read_at_one_site_whose_value_the_graph_puts_out(string name)
    {
        ExportResult result = Export(name);
        LinearSite[] sites = [.. result.Sites, .. result.DraftSites];
        string[] readers = [.. sites.SelectMany(site => site.Weights)];
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);

        Assert.Equal(readers.Length, readers.Distinct().Count());
        string[] projections = [.. checkpoint.Tensors.Values.Where(IsProjection).Select(tensor => tensor.Name)];
        Assert.Equal(projections.Order(StringComparer.Ordinal), readers.Order(StringComparer.Ordinal));
        Assert.All(sites, site => Assert.All(site.Weights.Concat(site.FloatReaders), weight => Assert.Equal(site.Channels, checkpoint.Entry(weight).Shape[1])));
        Assert.All(sites.Where(site => site.Norm is not null), site => Assert.Equal([site.Channels], checkpoint.Entry(site.Norm!).Shape));
        HashSet<string> outputs = [.. Graph(ModelManifest.ModelFileName).Output.Select(output => output.Name)];
        Assert.Equal(
            result.Sites.Select(site => site.Parent ?? site.Name).ToHashSet().Order(StringComparer.Ordinal),
            outputs.Where(output => output is not ("logits" or "hidden") && !output.StartsWith("cache_out", StringComparison.Ordinal) && !output.EndsWith(".selected", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal));
        if (result.DraftSites.Count > 0)
        {
            HashSet<string> draft = [.. Graph(ModelManifest.DraftFileName).Output.Select(output => output.Name)];
            Assert.Subset(draft, result.DraftSites.Select(site => site.Name).ToHashSet());
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void The_probes_hold_what_the_layers_read_and_change_no_logit(string name)
    {
        ExportResult result = Export(name);
        long[] prompt = [.. Enumerable.Range(0, 12).Select(i => (long)(3 + (i * 37 % 260)))];
        string plain = OnnxExporter.Export(_folder["in"], _folder["plain"], new ExportOptions { Precision = WeightPrecision.F32 }).Folder;
        using GraphRunner runner = new(plain, KernelPath.Supported[^1]);
        using GraphRunner probing = new(result.Folder, KernelPath.Supported[^1]);
        LinearSite[] mixtures = [.. result.Sites.Where(site => site.FloatReaders.Count > 0)];
        Dictionary<string, float[]> values = probing.Read(
            ["logits", .. result.Sites.Where(site => site.Parent is null).Select(site => site.Name), .. mixtures.SelectMany(site => new[] { $"{site.Name}.selected", $"{site.Name}.inner" })],
            new RunnerChunk(new RunnerSequence(), prompt));

        Assert.Equal(runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits, values["logits"]);
        Assert.All(result.Sites.Where(site => site.Parent is null), site => Assert.Equal(prompt.Length * site.Channels, values[site.Name].Length));
        Assert.All(values.Values, row => Assert.All(row, value => Assert.True(float.IsFinite(value))));

        // What an expert made inside is silu(gate · x) · (up · x) of the row that chose it.
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        foreach (LinearSite mixture in mixtures)
        {
            float[] selected = values[$"{mixture.Name}.selected"], inner = values[$"{mixture.Name}.inner"];
            int topK = selected.Length / prompt.Length, width = inner.Length / selected.Length;
            for (int slot = 0; slot < selected.Length; slot++)
            {
                float[] x = values[mixture.Name][(slot / topK * mixture.Channels)..((slot / topK * mixture.Channels) + mixture.Channels)];
                LinearSite? expert = result.Sites.SingleOrDefault(site => site.Name == $"{mixture.Name}.expert.{selected[slot]}");
                double[] gate = Product(expert?.Weights[0], x, width), up = Product(expert?.Weights[1], x, width);
                for (int i = 0; i < width; i++)
                {
                    Assert.Equal(gate[i] / (1 + Math.Exp(-gate[i])) * up[i], inner[(slot * width) + i], 1e-4);
                }
            }
        }

        double[] Product(string? matrix, float[] x, int width)
        {
            // Zero experts make nothing inside.
            float[] weights = matrix is null ? new float[width * x.Length] : checkpoint.ReadFloat32(matrix);
            return [.. Enumerable.Range(0, width).Select(row => x.Select((value, k) => (double)value * weights[(row * x.Length) + k]).Sum())];
        }
    }

    [Fact]
    public void A_norm_is_foldable_unless_something_reads_it_that_cannot_undo_a_division()
    {
        Assert.All(Export("Llama with biases").Sites.Where(site => site.Name.EndsWith("_norm", StringComparison.Ordinal)), site => Assert.NotNull(site.Norm));
        LinearSite router = Export("Mixtral with a window").Sites.First(site => site.FloatReaders.Count > 0);
        Assert.Equal("model.layers.0.post_attention_layernorm.weight", router.Norm);

        // LongCat's zero experts give their input back.
        LinearSite[] flash = [.. Export("Flash").Sites.Where(site => site.Parent is null)];
        Assert.Null(flash.Single(site => site.Name == "layers.0.post_norm.0").Norm);
        Assert.Equal("model.layers.0.post_attention_layernorm.1.weight", flash.Single(site => site.Name == "layers.0.post_norm.1").Norm);
        Assert.Equal("model.layers.0.self_attn.0.q_a_layernorm.weight", flash.Single(site => site.Name == "layers.0.attention.0.q_a_norm").Norm);
    }

    [Fact]
    public void Probes_are_float32_with_the_longcat_operators()
    {
        RandomDecoder.Write(_folder["in"]);
        foreach (ExportOptions options in (ExportOptions[])[new() { Precision = WeightPrecision.BF16 }, new() { Operators = OperatorSet.Standard }])
        {
            Assert.Contains("Probes", Assert.Throws<ArgumentOutOfRangeException>(() => OnnxExporter.Export(_folder["in"], _folder["out"], options with { Probes = true })).Message, StringComparison.Ordinal);
        }

        RandomDecoder.Write(_folder["bf16"], new RandomDecoderOptions { BFloat16 = true });
        Assert.Equal(WeightPrecision.F32, OnnxExporter.Export(_folder["bf16"], _folder["out"], new ExportOptions { Probes = true }).Manifest.Precision);
    }

    /// <summary>Two-dimensional weights that neither embed, route nor stand for keys and values inside the attention, nor make logits.</summary>
    private static bool IsProjection(TensorEntry tensor) =>
        tensor.Shape.Count == 2
        && !tensor.Name.Contains("embed", StringComparison.Ordinal) && !tensor.Name.Contains("oe_", StringComparison.Ordinal) && !tensor.Name.Contains("router", StringComparison.Ordinal)
        && !tensor.Name.Contains("kv_b_proj", StringComparison.Ordinal) && !tensor.Name.EndsWith("mlp.gate.weight", StringComparison.Ordinal)
        && !tensor.Name.EndsWith("block_sparse_moe.gate.weight", StringComparison.Ordinal) && tensor.Name != "lm_head.weight";

    private ExportResult Export(string name)
    {
        if (name is "Flash" or "Lite with draft head")
        {
            RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { NGram = name != "Flash", Mtp = name != "Flash", Layers = 2 });
        }
        else
        {
            RandomDecoder.Write(_folder["in"], RandomDecoder.Models[name]);
        }

        return OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Probes = true, Overwrite = true });
    }

    private GraphProto Graph(string file) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder["out"], file))).Graph;
}
