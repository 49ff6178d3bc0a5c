using System.Text.Json.Nodes;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests;

/// <summary>Adapters that an engine cannot run: each is refused when it is loaded, by its name, with what was found and what to do.</summary>
public sealed class AdapterRefusalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _checkpoint;
    private readonly Lazy<string> _model;

    public AdapterRefusalTests()
    {
        _checkpoint = RandomCheckpoint.Write(_folder["checkpoint"]);
        _model = new Lazy<string>(() => OnnxExporter.Export(_checkpoint, _folder["onnx"]).Folder);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_folder_without_an_adapter()
    {
        AdapterException error = Assert.Throws<AdapterException>(() => Load(_folder["nowhere"]));
        Assert.Contains(_folder["nowhere"], error.Message, StringComparison.Ordinal);
        Directory.CreateDirectory(_folder["empty"]);
        Assert.Contains("adapter_config.json", Assert.Throws<AdapterException>(() => Load(_folder["empty"])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_of_another_model()
    {
        string wider = RandomCheckpoint.Write(_folder["wider"], new RandomCheckpointOptions { FfnSize = 80 });
        Refused(RandomAdapter.Write(_folder["adapter"], wider, ["mlps.0.up_proj"]), "model.layers.0.mlps.0.up_proj", "[80, 48]", "[64, 48]", "trained on this model");
        string decoder = RandomDecoder.Write(_folder["decoder"]);
        Refused(RandomAdapter.Write(_folder["other"], decoder, ["q_proj"]), "2 of its 2 modules", "model.layers.0.self_attn.q_proj", "near names");
    }

    [Theory]
    [InlineData("router.classifier", "router")]
    [InlineData("model.embed_tokens", "embed_tokens")]
    public void Modules_that_no_graph_takes_adapters_of(string target, string expected) =>
        Refused(RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj", target]), "1 of its", expected, "longcat export", "--adapter");

    [Fact]
    public void An_annealing_one()
    {
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj"]);
        AfaState state = new() { Step = 10, Beta = 0.25, Activation = AfaActivation.Relu, Schedule = AfaSchedule.Linear };
        state.Save(adapter.Folder);
        Refused(adapter, "still annealing", "β = 0.25", "step 10", "Train it to the end");
        (state with { Beta = 0 }).Save(adapter.Folder);
        Load(adapter.Folder).Dispose();
    }

    [Fact]
    public void Values_that_are_no_numbers()
    {
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["o_proj", "q_a_proj"]);
        string file = Path.Combine(adapter.Folder, "adapter_model.safetensors");
        byte[] bytes = File.ReadAllBytes(file);
        BitConverter.GetBytes(float.NaN).CopyTo(bytes, bytes.Length - 4);
        File.WriteAllBytes(file, bytes);
        AdapterException error = Assert.Throws<AdapterException>(() => Load(adapter.Folder));
        Assert.Contains("NaN", error.Message, StringComparison.Ordinal);
        Assert.Contains("model.layers.0.self_attn.", error.Message, StringComparison.Ordinal);

        // Finite by itself, beyond float32 once it is multiplied by the scale.
        RandomAdapter huge = RandomAdapter.Write(_folder["huge"], _checkpoint, ["q_a_proj"], rank: 1, spread: 1e38);
        Refused(huge, "the scale times B", "expected finite numbers");
    }

    [Fact]
    public void Magnitudes_over_rows_of_zeros()
    {
        string zeros = RandomCheckpoint.Write(_folder["zeros"], new RandomCheckpointOptions { Zeros = true });
        string model = OnnxExporter.Export(zeros, _folder["zeros-onnx"]).Folder;
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj"], dora: true, spread: 0);
        InferenceException error = Assert.Throws<InferenceException>(() => InferenceEngine.Load(model, Options(adapter.Folder)));
        Assert.Contains("row 0 of W + sBA has the norm 0", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Modules_that_it_brings_along()
    {
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj"]);
        using (SafetensorsFile file = SafetensorsFile.Open(Path.Combine(adapter.Folder, "adapter_model.safetensors")))
        {
            const string Added = "base_model.model.model.norm.weight";
            using SafetensorsWriter writer = SafetensorsWriter.Create(
                _folder["with.safetensors"], [.. file.Tensors.Values.Select(entry => new TensorDeclaration(entry.Name, entry.Type, entry.Shape)), new TensorDeclaration(Added, TensorType.Float32, [48])]);
            foreach (TensorEntry entry in file.Tensors.Values)
            {
                writer.Write(entry.Name, file.ReadFloat32(entry.Name));
            }

            writer.Write(Added, new float[48]);
            writer.Complete();
        }

        File.Move(_folder["with.safetensors"], Path.Combine(adapter.Folder, "adapter_model.safetensors"), overwrite: true);
        string config = Path.Combine(adapter.Folder, "adapter_config.json");
        JsonNode json = JsonNode.Parse(File.ReadAllText(config))!;
        json["modules_to_save"] = new JsonArray("norm");
        File.WriteAllText(config, json.ToJsonString());
        Refused(adapter, "model.norm.weight", "modules_to_save", "longcat export");
    }

    [Fact]
    public void Biases_that_it_brings_along()
    {
        string decoder = RandomDecoder.Write(_folder["decoder"], new RandomDecoderOptions { Biases = true });
        ModelModule module = ModelModule.Of(ModelConfig.Load(decoder)).First(m => m.Path.EndsWith("q_proj", StringComparison.Ordinal));
        PeftConfig config = new() { Rank = 1, Alpha = 1, Targets = AdapterTargets.Names(module.Path), LoraBias = true };
        using (PeftAdapter adapter = PeftAdapter.Create(
            config, [new AdapterMatrix { Module = module.Path, Rank = 1, Scale = 1, In = (int)module.In, Out = (int)module.Out, A = new float[module.In], B = new float[module.Out], Bias = new float[module.Out] }]))
        {
            adapter.Save(_folder["adapter"]);
        }

        string model = OnnxExporter.Export(decoder, _folder["decoder-onnx"]).Folder;
        InferenceException error = Assert.Throws<InferenceException>(() => InferenceEngine.Load(model, Options(_folder["adapter"])));
        Assert.Contains($"{module.Path} has a bias of its own (lora_bias)", error.Message, StringComparison.Ordinal);
        Assert.Contains("longcat export", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Models_of_standard_operators()
    {
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj"]);
        string model = OnnxExporter.Export(_checkpoint, _folder["standard"], new ExportOptions { Operators = OperatorSet.Standard }).Folder;
        InferenceException error = Assert.Throws<InferenceException>(() => InferenceEngine.Load(model, Options(adapter.Folder)));
        Assert.Contains("standard operators", error.Message, StringComparison.Ordinal);
        Assert.Contains("longcat export <checkpoint> --adapter", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Models_whose_weights_were_equalized()
    {
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj"]);
        string model = _model.Value;
        File.WriteAllText(Path.Combine(model, "quantization.json"), """{"options":{"equalize":false}}""");
        Load(adapter.Folder).Dispose();
        File.WriteAllText(Path.Combine(model, "quantization.json"), """{"options":{"equalize":true}}""");
        Refused(adapter, "quantized with equalization", "longcat export");
        File.WriteAllText(Path.Combine(model, "quantization.json"), "{");
        Assert.Contains("quantization.json", Assert.Throws<CheckpointException>(() => Load(adapter.Folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Data_files_that_are_shorter_than_the_graph_says()
    {
        RandomAdapter adapter = RandomAdapter.Write(_folder["adapter"], _checkpoint, ["q_a_proj"], dora: true);
        string data = Path.Combine(_model.Value, ModelManifest.DataFileName);
        string manifest = File.ReadAllText(Path.Combine(_model.Value, ModelManifest.FileName));
        using (FileStream stream = File.OpenWrite(data))
        {
            stream.SetLength(4096);
        }

        JsonNode json = JsonNode.Parse(manifest)!;
        json["files"]![ModelManifest.DataFileName]!["bytes"] = 4096;
        File.WriteAllText(Path.Combine(_model.Value, ModelManifest.FileName), json.ToJsonString());
        Assert.ThrowsAny<Exception>(() => Load(adapter.Folder));
    }

    private InferenceEngine Load(string adapter) => InferenceEngine.Load(_model.Value, Options(adapter));

    private static EngineOptions Options(string adapter) => new() { Adapters = new Dictionary<string, string> { ["mine"] = adapter }, MemoryBudgetBytes = 16 << 20, Threads = 1 };

    private void Refused(RandomAdapter adapter, params string[] expected)
    {
        InferenceException error = Assert.Throws<InferenceException>(() => Load(adapter.Folder));
        Assert.Contains("'mine'", error.Message, StringComparison.Ordinal);
        Assert.Contains(adapter.Folder, error.Message, StringComparison.Ordinal);
        Assert.All(expected, part => Assert.Contains(part, error.Message, StringComparison.Ordinal));
    }
}
