using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>The files of a W4A8 export without running them, and what is refused.</summary>
public sealed class QuantizedExportTests : IDisposable
{
    private static readonly ExportOptions W4A8 = new()
    {
        Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 },
    };

    private readonly TemporaryFolder _folder = new();

    private string Input => _folder["in"];

    private string Output => _folder["out"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_export_carries_its_report_and_is_half_the_size_of_bfloat16_or_less()
    {
        RandomCheckpoint.Write(Input, new RandomCheckpointOptions { Mtp = true, BFloat16 = true, NGram = false, Experts = 16, ExpertSize = 128, FfnSize = 512, HiddenSize = 128 });
        long wide = OnnxExporter.Export(Input, _folder["bf16"]).DataBytes;

        ExportResult result = OnnxExporter.Export(Input, Output, W4A8);

        ModelManifest manifest = ModelManifest.Read(Output);
        manifest.VerifyFiles(Output);
        Assert.Equal(WeightPrecision.W4A8, manifest.Precision);
        Assert.Contains("\"precision\": \"w4a8\"", File.ReadAllText(Path.Combine(Output, ModelManifest.FileName)), StringComparison.Ordinal);
        Assert.Equal(
            ["config.json", "draft.onnx", "model.onnx", "model.onnx.data", "quantization.json", "quantization.svg"], manifest.Files.Keys.Order(StringComparer.Ordinal));
        string report = File.ReadAllText(Path.Combine(Output, "quantization.json"));
        Assert.All(result.Sites.Concat(result.DraftSites).SelectMany(site => site.Weights), weight => Assert.Contains($"\"{weight}\"", report, StringComparison.Ordinal));
        Assert.True(result.DataBytes < wide / 2, $"{result.DataBytes} bytes, bfloat16 has {wide}");
    }

    [Fact]
    public void The_same_checkpoint_and_options_give_the_same_bytes()
    {
        RandomDecoder.Write(Input, new RandomDecoderOptions { Architecture = "MixtralForCausalLM", Experts = 24 });

        string[] hashes = [.. Enumerable.Range(0, 3).Select(_ => OnnxExporter.Export(Input, Output, W4A8 with { Overwrite = true }).Manifest.ContentHash)];

        Assert.Single(hashes.Distinct());
    }

    [Fact]
    public void A_norm_is_rounded_once_for_all_its_readers_and_kept_in_float_only_for_a_mixture()
    {
        RandomCheckpoint.Write(Input);
        GraphProto graph = Graph(OnnxExporter.Export(Input, Output, W4A8));
        Dictionary<string, NodeProto> makers = graph.Node.SelectMany(node => node.Output.Where(name => name.Length > 0).Select(name => (name, node))).ToDictionary(pair => pair.name, pair => pair.node);

        NodeProto first = makers["layers.0.post_norm.0.int8"], second = makers["layers.0.post_norm.1.int8"];
        Assert.Equal(("RmsNormQuantize", "RmsNormQuantize"), (first.OpType, second.OpType));
        Assert.Equal(["layers.0.post_norm.0.int8", "layers.0.post_norm.0.scale", "layers.0.post_norm.0.sums", "layers.0.post_norm.0"], first.Output);
        Assert.Equal(3, second.Output.Count);
        Assert.Equal(["layers.0.mixture"], Readers("layers.0.post_norm.0"));
        Assert.Equal(["layers.0.mlp.0.gate", "layers.0.mlp.0.up"], Readers("layers.0.post_norm.0.int8"));
        Assert.Equal(["layers.0.attention.0.q_a", "layers.0.attention.0.latent"], Readers("layers.0.input_norm.0.int8"));
        Assert.Equal("SiluMulQuantize", makers["layers.0.mlp.0.inner.int8"].OpType);

        // An attention's output has no norm to ride on: the product rounds it.
        Assert.Equal(["layers.0.attention.0.heads", "", ""], makers["layers.0.attention.0.output"].Input.Take(3));
        Assert.Equal(2, makers["layers.0.mixture"].Attribute.Single(a => a.Name == "layout").I);
        Assert.Equal(9, makers["layers.0.mixture"].Input.Count);
        Assert.Equal(("W8A8MatMul", 16), (makers["logits"].OpType, (int)makers["logits"].Attribute.Single(a => a.Name == "activation_bits").I));
        Assert.DoesNotContain(graph.Node, node => node.OpType == "MatMul");

        string[] Readers(string value) => [.. graph.Node.Where(node => node.Input.Contains(value)).Select(node => node.Output[0])];
    }

    [Fact]
    public void A_tied_table_is_stored_once_for_embedding_and_head()
    {
        RandomDecoder.Write(Input, new RandomDecoderOptions { Architecture = "Qwen3ForCausalLM", Tied = true });
        GraphProto graph = Graph(OnnxExporter.Export(Input, Output, W4A8));

        NodeProto embedding = graph.Node.Single(node => node.OpType == "Int8Embedding"), head = graph.Node.Single(node => node.OpType == "W8A8MatMul");
        Assert.Equal(embedding.Input.Skip(1), head.Input.Skip(1));
        Assert.Single(graph.Initializer, tensor => tensor.Name.StartsWith("model.embed_tokens", StringComparison.Ordinal) && tensor.DataType == (int)TensorProto.Types.DataType.Uint8);
        Assert.DoesNotContain(graph.Initializer, tensor => tensor.Name == "model.embed_tokens.weight");
    }

    [Fact]
    public void Cancelling_and_failing_while_quantizing_leave_nothing_behind()
    {
        RandomDecoder.Write(Input, new RandomDecoderOptions { Architecture = "MixtralForCausalLM", Experts = 40 });
        using CancellationTokenSource cancellation = new();
        Assert.ThrowsAny<OperationCanceledException>(() => OnnxExporter.Export(Input, Output, W4A8, new Told(_ => cancellation.Cancel()), cancellation.Token));
        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));

        Assert.Throws<IOException>(() => OnnxExporter.Export(Input, Output, W4A8, new Told(_ => throw new IOException("no space left on device"))));
        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void A_weight_that_is_not_finite_is_named(float value)
    {
        const string Name = "model.layers.1.mlp.down_proj.weight";
        RandomDecoder.Write(Input);
        Spoil(Name, 64 + 3, value);

        QuantizationException refused = Assert.Throws<QuantizationException>(() => OnnxExporter.Export(Input, Output, W4A8));

        Assert.Contains(Name, refused.Message, StringComparison.Ordinal);
        Assert.Contains("row 1, column 3", refused.Message, StringComparison.Ordinal);
        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_recipe_that_needs_statistics_says_so_before_anything_is_written()
    {
        RandomDecoder.Write(Input);

        QuantizationException refused = Assert.Throws<QuantizationException>(() => OnnxExporter.Export(Input, Output, new ExportOptions { Precision = WeightPrecision.W4A8 }));

        Assert.Contains("statistics", refused.Message, StringComparison.Ordinal);
        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void A_wrong_group_size_is_the_options_own_error()
    {
        RandomDecoder.Write(Input);

        ArgumentException refused = Assert.ThrowsAny<ArgumentException>(() => OnnxExporter.Export(Input, Output, W4A8 with { Quantization = W4A8.Quantization! with { GroupSize = 48 } }));

        Assert.Contains("GroupSize is 48", refused.Message, StringComparison.Ordinal);
        Assert.Equal([Input], Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public void Options_that_do_not_go_together_are_refused()
    {
        RandomDecoder.Write(Input);

        Refused(W4A8 with { Operators = OperatorSet.Standard }, "--ops longcat");
        Refused(W4A8 with { Precision = WeightPrecision.BF16 }, "Quantization goes with Precision W4A8");
        Refused(W4A8 with { Precision = null }, "Quantization goes with Precision W4A8");
        Refused(new ExportOptions { Statistics = new StatisticsTable([], 0) }, "Statistics goes with Precision W4A8");
        Refused(W4A8 with { Probes = true }, "Probes");

        void Refused(ExportOptions options, string message) =>
            Assert.Contains(message, Assert.Throws<ArgumentOutOfRangeException>(() => OnnxExporter.Export(Input, Output, options)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("gptq")]
    [InlineData("awq")]
    [InlineData("compressed-tensors")]
    [InlineData("bitsandbytes")]
    public void A_checkpoint_that_is_quantized_already_is_refused(string method)
    {
        RandomDecoder.Write(Input);
        string path = Path.Combine(Input, "config.json");
        JsonObject config = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        config["quantization_config"] = new JsonObject { ["quant_method"] = method, ["bits"] = 4 };
        File.WriteAllText(path, config.ToJsonString());

        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Input, Output, W4A8));

        Assert.Contains($"quant_method is \"{method}\"", refused.Message, StringComparison.Ordinal);
        Assert.Contains("the checkpoint that they were made from", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_export_is_no_checkpoint()
    {
        RandomDecoder.Write(Input);
        OnnxExporter.Export(Input, Output, W4A8);

        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(Output, _folder["again"], W4A8));

        Assert.Contains("it is an export already", refused.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["again"]));
    }

    private static GraphProto Graph(ExportResult export) => ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(export.Folder, ModelManifest.ModelFileName))).Graph;

    private void Spoil(string tensor, int element, float value)
    {
        string path = Path.Combine(Input, "model.safetensors");
        byte[] file = File.ReadAllBytes(path);
        int header = BitConverter.ToInt32(file);
        JsonNode offsets = JsonNode.Parse(file.AsSpan(8, header))![tensor]!["data_offsets"]!;
        BitConverter.TryWriteBytes(file.AsSpan(8 + header + offsets[0]!.GetValue<int>() + (element * sizeof(float))), value);
        File.WriteAllBytes(path, file);
    }

    /// <summary>Reports on the exporting thread.</summary>
    private sealed class Told(Action<ExportProgress> report) : IProgress<ExportProgress>
    {
        public void Report(ExportProgress value) => report(value);
    }
}
