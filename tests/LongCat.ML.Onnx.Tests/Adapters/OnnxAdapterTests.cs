using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Microsoft.ML.OnnxRuntime;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Exports with inputs for adapters and .onnx_adapter files, in plain ONNX Runtime with its own adapters.</summary>
[Collection(KernelPath.Collection)]
public sealed class OnnxAdapterTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<OperatorSet> Operators => [OperatorSet.LongCat, OperatorSet.Standard];

    public void Dispose() => _folder.Dispose();

    [GoldenTheory]
    [MemberData(nameof(Operators))]
    public void Onnx_runtimes_own_adapter_gives_the_fixtures_logits_and_without_it_the_base(OperatorSet operators)
    {
        const string Fixture = "longcat-flash-lora";
        using Golden golden = new(output, Fixture, "golden.safetensors");
        using PeftAdapter adapter = PeftAdapter.Load(GoldenFixtures.Path(Fixture));
        ExportOptions options = new() { Operators = operators, Precision = WeightPrecision.F32, AdapterInputs = adapter.Config.Targets };
        string folder = OnnxExporter.Export(GoldenFixtures.Path("longcat-flash"), _folder["out"], options).Folder;
        OnnxAdapterFile.Write(_folder["x.onnx_adapter"], adapter);
        using OrtLoraAdapter loaded = OrtLoraAdapter.Create(_folder["x.onnx_adapter"], null);
        long[][] rows = golden.Rows("input_ids");

        golden.Compare($"{operators} adapted", golden.Floats("logits"), Run(folder, rows, loaded), Golden.DraftTolerance);
        golden.Compare($"{operators} base", golden.Floats("base.logits"), Run(folder, rows, null), Golden.LogitsTolerance);
    }

    public static TheoryData<string, OperatorSet, WeightPrecision?> Models
    {
        get
        {
            TheoryData<string, OperatorSet, WeightPrecision?> cases = [];
            foreach (string model in (string[])["Llama with biases", "Qwen2, tied", "Qwen3 with biases", "Llama, llama3 rope, one head each", "LongCat-Flash-Lite"])
            {
                cases.Add(model, OperatorSet.LongCat, WeightPrecision.F32);
                cases.Add(model, OperatorSet.LongCat, WeightPrecision.BF16);
                cases.Add(model, OperatorSet.LongCat, WeightPrecision.W4A8);
                cases.Add(model, OperatorSet.Standard, WeightPrecision.F32);
                cases.Add(model, OperatorSet.Standard, WeightPrecision.Int4);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Every_family_takes_adapters_of_all_its_projections_and_is_the_plain_export_without(string model, OperatorSet operators, WeightPrecision? precision)
    {
        if (model == "LongCat-Flash-Lite")
        {
            RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2, Yarn = true });
        }
        else
        {
            // GroupQueryAttention takes heads of multiples of 8, and rotates those of 16.
            RandomDecoderOptions decoder = RandomDecoder.Models[model];
            RandomDecoder.Write(_folder["in"], operators == OperatorSet.Standard ? decoder with { HeadDim = decoder.Tied ? 8 : 16 } : decoder);
        }

        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        string[] modules = [.. AdapterTargets.AllLinear.Resolve(checkpoint.Config).Where(module => !module.Contains(".experts.", StringComparison.Ordinal) && !module.Contains("ngram", StringComparison.Ordinal))];
        if (!checkpoint.Config.TieWordEmbeddings)
        {
            modules = [.. modules, "lm_head"];
        }

        ExportOptions options = new()
        {
            Operators = operators,
            Precision = precision,
            Quantization = precision == WeightPrecision.W4A8 ? new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 } : null,
        };
        string plain = OnnxExporter.Export(_folder["in"], _folder["plain"], options).Folder;
        string adaptable = OnnxExporter.Export(_folder["in"], _folder["adaptable"], options with { AdapterInputs = AdapterTargets.Names(modules) }).Folder;
        using PeftAdapter adapter = RandomAdapter.Create(checkpoint, 4, modules, rank: 3);
        OnnxAdapterFile.Write(_folder["x.onnx_adapter"], adapter);
        using OrtLoraAdapter loaded = OrtLoraAdapter.Create(_folder["x.onnx_adapter"], null);
        Random random = new(3);
        long[][] rows = [[.. Enumerable.Range(0, 21).Select(_ => (long)random.Next(3, checkpoint.Config.VocabSize))], [.. Enumerable.Range(0, 21).Select(_ => (long)random.Next(3, checkpoint.Config.VocabSize))]];
        float[] without = Run(plain, rows, null), unused = Run(adaptable, rows, null), with = Run(adaptable, rows, loaded);

        // Without an adapter the longcat operators give the same bits; ONNX Runtime fuses the other graph otherwise, so that a bias is added in another place. MatMulNBits rounds its
        // rows to 8 bits: a value in the middle of two may tip, a hundredth of its row's largest (as in W4A8ParityTests).
        double change = Difference(without, unused), effect = Difference(without, with);
        double allowed = operators == OperatorSet.LongCat ? 0 : precision == WeightPrecision.Int4 ? 3e-2 : Golden.LogitsTolerance;
        output.WriteLine($"{model} {operators} {precision}: without an adapter the logits move by {change:E2} (allowed {allowed:E0})");
        Assert.True(change <= allowed, $"without an adapter the logits move by {change:E2}, allowed {allowed:E0}");
        Assert.True(effect > 1e-2, $"the adapter moves the logits by {effect:E2} only");
        if (precision is WeightPrecision.F32)
        {
            float[] merged = [.. rows.SelectMany(row => Reference(model, checkpoint, row, adapter))];
            double difference = Difference(merged, with);
            output.WriteLine($"{model} {operators}: {difference:E2} from the merged weights, {difference / Golden.LogitsTolerance:P0} of the tolerance; the adapter moves logits by {effect:E2}");
            Assert.True(difference <= Golden.LogitsTolerance, $"{difference:E2}");
        }
    }

    [Fact]
    public void A_file_holds_every_matrix_under_its_inputs_name_for_any_number_of_modules()
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 3 });
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        string[] modules = [.. AdapterTargets.AllLinear.Resolve(checkpoint.Config).Where(module => !module.Contains(".experts.", StringComparison.Ordinal) && !module.Contains("ngram", StringComparison.Ordinal))];
        for (int count = 1; count <= modules.Length; count += 7)
        {
            using PeftAdapter adapter = RandomAdapter.Create(checkpoint, count, modules[..count], rank: 1 + (count % 5));
            OnnxAdapterFile.Write(_folder["x.onnx_adapter"], adapter);
            byte[] bytes = File.ReadAllBytes(_folder["x.onnx_adapter"]);
            using OrtLoraAdapter loaded = OrtLoraAdapter.Create(bytes, null);  // ONNX Runtime verifies every offset

            Assert.Equal("TORT"u8.ToArray(), bytes[4..8]);
            Assert.Equal(0, bytes.Length % 8);
            Assert.Equal([_folder["x.onnx_adapter"]], Directory.GetFiles(Path.GetDirectoryName(_folder["x.onnx_adapter"])!));
        }
    }

    [Fact]
    public void What_two_matrices_cannot_say_is_refused_with_what_to_do_and_leaves_no_file()
    {
        RandomCheckpoint.Write(_folder["in"]);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        const string Module = "model.layers.0.self_attn.0.o_proj";
        using PeftAdapter dora = RandomAdapter.Create(checkpoint, 1, [Module], dora: true), expert = RandomAdapter.Create(checkpoint, 1, ["model.layers.0.mlp.experts.1.down_proj"]);
        using PeftAdapter plain = RandomAdapter.Create(checkpoint, 1, [Module]);
        using PeftAdapter annealing = PeftAdapter.Create(
            plain.Config, plain.Modules.Values, afa: new AfaState { Step = 3, Beta = 0.5 }, name: "half-way");
        Refused(dora, $"{Module}: has magnitudes (DoRA), which two matrices cannot express; merge it into an export instead");
        Refused(expert, "model.layers.0.mlp.experts.1.down_proj: is an expert's, for which no export has inputs; merge it");
        Refused(annealing, "half-way: is still annealing, β = 0.5");
        Assert.Throws<DirectoryNotFoundException>(() => OnnxAdapterFile.Write(_folder["absent/x.onnx_adapter"], plain));

        void Refused(PeftAdapter adapter, string expected)
        {
            AdapterException error = Assert.Throws<AdapterException>(() => OnnxAdapterFile.Write(_folder["x.onnx_adapter"], adapter));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
            Assert.False(File.Exists(_folder["x.onnx_adapter"]));
        }
    }

    [Fact]
    public void Inputs_for_modules_without_a_product_are_refused_before_anything_is_written()
    {
        RandomCheckpoint.Write(_folder["in"]);
        CheckpointException error = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(
            _folder["in"], _folder["out"], new ExportOptions { AdapterInputs = AdapterTargets.Names("down_proj") }));
        Assert.Contains("the graph cannot take an adapter of model.layers.0.mlp.experts.0.down_proj: experts have no inputs for adapters", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));
        Assert.Throws<AdapterException>(() => OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { AdapterInputs = AdapterTargets.Names("qproj") }));

        CheckpointException standard = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(
            _folder["in"], _folder["out"], new ExportOptions { Operators = OperatorSet.Standard, AdapterInputs = AdapterTargets.Names("down_proj") }));
        Assert.Contains("a graph with standard operators has inputs only for the adapters of attention, MLPs and head", standard.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));

        // A graph that has inputs already takes no others.
        string folder = OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { AdapterInputs = AdapterTargets.Names("o_proj", "kv_b_proj") }).Folder;
        AdapterGraph graph = AdapterGraph.Read(Path.Combine(folder, ModelManifest.ModelFileName));
        Assert.Contains("has inputs for adapters of model.layers.0.self_attn.0.o_proj already", Assert.Throws<CheckpointException>(() => graph.Insert([new AdapterSite("model.layers.0.self_attn.0.o_proj")])).Message, StringComparison.Ordinal);
    }

    private static float[] Run(string folder, long[][] rows, OrtLoraAdapter? adapter)
    {
        if (ModelManifest.Read(folder).Operators == OperatorSet.Standard)
        {
            using PaddedGraphRunner padded = new(folder, rows.Length) { Lora = adapter };
            return [.. padded.Run(rows).SelectMany(logits => logits)];
        }

        using GraphRunner runner = new(folder, KernelPath.Supported[^1]) { Lora = adapter };
        return runner.Run([.. rows.Select(row => new RunnerChunk(new RunnerSequence(), row))]).Logits;
    }

    private float[] Reference(string model, Checkpoint checkpoint, long[] prompt, PeftAdapter adapter)
    {
        float[]? Weights(string name) =>
            name.EndsWith(".weight", StringComparison.Ordinal) && adapter.Modules.GetValueOrDefault(name[..^".weight".Length]) is { } matrix ? AdapterStack.Merged(checkpoint, matrix.Module, matrix) : null;
        if (model == "LongCat-Flash-Lite")
        {
            return [.. new DoubleReference(checkpoint, Weights).Run(prompt).Logits.SelectMany(row => row.Select(value => (float)value))];
        }

        using DecoderReference reference = new(_folder["in"], Weights);
        return reference.Run(prompt).Logits;
    }

    private static double Difference(float[] a, float[] b) => a.Zip(b, (x, y) => double.IsNaN(x - y) ? double.PositiveInfinity : Math.Abs((double)x - y)).Max();
}
