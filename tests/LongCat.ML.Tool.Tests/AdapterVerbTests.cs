using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.ToolTests;

/// <summary><c>longcat merge</c>, <c>export</c> and <c>quantize --adapter</c>, <c>inspect</c> of an adapter: as a user runs them.</summary>
public sealed class AdapterVerbTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [GoldenTheory]
    [InlineData("longcat-flash-lora", "longcat")]
    [InlineData("longcat-flash-lora-list", "longcat")]
    [InlineData("longcat-flash-dora", "longcat")]
    [InlineData("longcat-flash-dora", "standard")]
    public void The_export_of_a_merged_model_gives_the_golden_logits(string adapter, string operators)
    {
        string golden = GoldenFixtures.Path(adapter, "golden.safetensors");
        Succeeds(ToolProcess.LongCat("export", GoldenFixtures.Path("longcat-flash"), "--adapter", GoldenFixtures.Path(adapter), "--output", _folder["onnx"], "--ops", operators));
        Succeeds(ToolProcess.LongCat("logits", _folder["onnx"], "--ids-file", golden, "--output", _folder["logits.safetensors"]));
        using SafetensorsFile expected = SafetensorsFile.Open(golden);
        float[] got = LongCatVerbTests.Logits(_folder["logits.safetensors"], out IReadOnlyList<long> shape);
        Assert.Equal(expected.Tensors["logits"].Shape, shape);
        float worst = expected.ReadFloat32("logits").Zip(got, (a, b) => Math.Abs(a - b)).Max();

        // The fixtures' own limit for adapters.
        output.WriteLine($"{adapter}, {operators} operators: logits differ by {worst:E2}, limit 1e-4");
        Assert.True(worst <= 1e-4f);
        Assert.True(expected.ReadFloat32("base.logits").Zip(got, (a, b) => Math.Abs(a - b)).Max() > 0.1f);
    }

    [GoldenFact]
    public void A_plain_export_with_an_adapter_of_experts_gives_the_golden_logits()
    {
        const string Adapter = "longcat-flash-lora-list";
        string golden = GoldenFixtures.Path(Adapter, "golden.safetensors");
        Succeeds(ToolProcess.LongCat("export", GoldenFixtures.Path("longcat-flash"), "--output", _folder["onnx"]));
        Succeeds(ToolProcess.LongCat("logits", _folder["onnx"], "--adapter", GoldenFixtures.Path(Adapter), "--ids-file", golden, "--output", _folder["logits.safetensors"]));
        using SafetensorsFile expected = SafetensorsFile.Open(golden);
        float[] got = LongCatVerbTests.Logits(_folder["logits.safetensors"], out IReadOnlyList<long> shape);
        Assert.Equal(expected.Tensors["logits"].Shape, shape);
        float worst = expected.ReadFloat32("logits").Zip(got, (a, b) => Math.Abs(a - b)).Max();
        output.WriteLine($"{Adapter} at run time: logits differ by {worst:E2}, limit 1e-4");
        Assert.True(worst <= 1e-4f);
    }

    [Fact]
    public void An_export_with_inputs_takes_the_file_that_the_adapter_verb_writes()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true });
        using (PeftAdapter adapter = Adapter(checkpoint))
        {
            adapter.Save(_folder["adapter"]);
        }

        Succeeds(ToolProcess.LongCat("export", checkpoint, "--adapter-inputs", _folder["adapter"], "--output", _folder["onnx"]));
        ToolProcess written = ToolProcess.LongCat("adapter", _folder["adapter"], "--output", _folder["x.onnx_adapter"]);
        Succeeds(written);
        Assert.StartsWith($"{_folder["x.onnx_adapter"]}: 16 modules, ", written.Output, StringComparison.Ordinal);
        Assert.Equal("TORT"u8.ToArray(), File.ReadAllBytes(_folder["x.onnx_adapter"])[4..8]);
        string graph = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(_folder["onnx/model.onnx"]));
        Assert.Contains("model.layers.0.self_attn.0.q_a_proj.lora_A.weight", graph, StringComparison.Ordinal);

        (string[] Arguments, int ExitCode, string Expected)[] wrong =
        [
            (["adapter", _folder["adapter"], "--output", _folder["x.onnx_adapter"]], 2, "exists already; choose another name, or give --overwrite"),
            (["adapter", _folder["adapter"], "--output", _folder["x.onnx"]], 2, "expected a file whose name ends in .onnx_adapter"),
            (["adapter", checkpoint, "--output", _folder["y.onnx_adapter"]], 1, "adapter_config.json"),
            (["export", checkpoint, "--adapter-inputs", "", "--output", _folder["z"]], 2, "--adapter-inputs is empty, expected an adapter's folder or targets"),
            (["export", checkpoint, "--adapter-inputs", "qproj", "--output", _folder["z"]], 1, "qproj"),
        ];
        foreach ((string[] arguments, int exitCode, string expected) in wrong)
        {
            ToolProcess refused = ToolProcess.LongCat(arguments);
            Assert.Equal((exitCode, true), (refused.ExitCode, refused.Error.Contains(expected, StringComparison.Ordinal)));
        }

        Assert.False(Directory.Exists(_folder["z"]));
    }

    [Fact]
    public void Merging_first_and_exporting_with_the_adapter_give_the_same_folders()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true, BFloat16 = true });
        using (PeftAdapter adapter = Adapter(checkpoint))
        {
            adapter.Save(_folder["adapter"]);
        }

        ToolProcess merged = ToolProcess.LongCat("merge", checkpoint, "--adapter", _folder["adapter"], "--output", _folder["merged"]);
        Succeeds(merged);
        Assert.Contains("16 of ", merged.Output, StringComparison.Ordinal);
        Assert.Contains("tensors merged", merged.Output, StringComparison.Ordinal);
        Succeeds(ToolProcess.LongCat("export", _folder["merged"], "--output", _folder["after"]));
        Succeeds(ToolProcess.LongCat("export", checkpoint, "--adapter", _folder["adapter"], "--output", _folder["during"]));
        Assert.Equal(File.ReadAllText(_folder["after/longcat.json"]), File.ReadAllText(_folder["during/longcat.json"]));
        Succeeds(ToolProcess.LongCat("quantize", _folder["merged"], "--recipe", "rtn", "--output", _folder["after4"]));
        Succeeds(ToolProcess.LongCat("quantize", checkpoint, "--adapter", _folder["adapter"], "--recipe", "rtn", "--output", _folder["during4"]));
        Assert.Equal(File.ReadAllText(_folder["after4/longcat.json"]), File.ReadAllText(_folder["during4/longcat.json"]));

        ToolProcess inspected = ToolProcess.LongCat("inspect", _folder["adapter"]);
        Succeeds(inspected);
        Assert.All(
            ["LoRA adapter · ", "parameters in 16 modules", "rank        4", "alpha       8", "annealing   none", "model.layers.*.self_attn.0.q_a_proj"],
            text => Assert.Contains(text, inspected.Output, StringComparison.Ordinal));
    }

    [Fact]
    public void Adapters_are_combined_into_one()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["checkpoint"]);
        using (PeftAdapter adapter = Adapter(checkpoint))
        {
            adapter.Save(_folder["a"]);
            adapter.Save(_folder["b"]);
        }

        string[] combine = ["merge-adapters", "--adapter", _folder["a"], "--adapter", _folder["b"], "--output", _folder["c"]];
        ToolProcess run = ToolProcess.LongCat([.. combine, "--weights", "0.75,-0.25", "--method", "svd", "--rank", "3"]);
        Succeeds(run);
        Assert.Contains("16 modules of rank 3", run.Output, StringComparison.Ordinal);
        using (PeftAdapter combined = PeftAdapter.Load(_folder["c"], ModelConfig.Load(checkpoint)))
        {
            Assert.All(combined.Modules.Values, m => Assert.Equal((3, 1.0), (m.Rank, m.Scale)));
        }

        Failed(2, "--weights has 1 numbers, expected 2", ToolProcess.LongCat([.. combine, "--weights", "1"]));
        Failed(2, "--weights has \"x\"", ToolProcess.LongCat([.. combine, "--weights", "1,x"]));
        Failed(2, "Density is not set", ToolProcess.LongCat([.. combine, "--method", "ties"]));
        Failed(2, "'best'", ToolProcess.LongCat([.. combine, "--method", "best"]));
        Failed(1, "the folder does not exist", ToolProcess.LongCat("merge-adapters", "--adapter", _folder["none"], "--output", _folder["d"]));
    }

    [Fact]
    public void Bad_adapters_are_one_line_each_and_leave_nothing()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["checkpoint"]);
        using (PeftAdapter adapter = Adapter(checkpoint))
        {
            adapter.Save(_folder["good"]);
            using PeftAdapter annealing = PeftAdapter.Create(adapter.Config, adapter.Modules.Values, afa: new AfaState { Beta = 0.5, Step = 3, TotalSteps = 100 });
            annealing.Save(_folder["annealing"]);
        }

        string other = RandomCheckpoint.Write(_folder["other"], new RandomCheckpointOptions { HiddenSize = 96 });
        string[] output = ["--output", _folder["out"]];
        Failed(2, "--adapter is empty", ToolProcess.LongCat(["merge", checkpoint, "--adapter", "", .. output]));
        Failed(2, "'--adapter' is required", ToolProcess.LongCat(["merge", checkpoint, .. output]));
        Failed(1, "the folder does not exist", ToolProcess.LongCat(["merge", checkpoint, "--adapter", _folder["none"], .. output]));
        Failed(1, "holds a model, not an adapter", ToolProcess.LongCat(["export", checkpoint, "--adapter", checkpoint, .. output]));
        Failed(1, "is still annealing: β is 0.5 after step 3 of 100", ToolProcess.LongCat(["quantize", checkpoint, "--adapter", _folder["annealing"], .. output]));
        Failed(1, "modules do not fit the model", ToolProcess.LongCat(["export", other, "--adapter", _folder["good"], .. output]));
        Failed(1, "the output folder holds files", ToolProcess.LongCat("merge", checkpoint, "--adapter", _folder["good"], "--output", checkpoint, "--overwrite"));
        File.Move(_folder["good/adapter_model.safetensors"], _folder["good/adapter_model.bin"]);
        Failed(1, "loading a pickle can run any program", ToolProcess.LongCat("inspect", _folder["good"]));
        ToolProcess inspected = ToolProcess.LongCat("inspect", _folder["annealing"]);
        Succeeds(inspected);
        Assert.Contains("β = 0.5 after step 3 of 100: cannot be merged yet", inspected.Output, StringComparison.Ordinal);
        Assert.Equal(["annealing", "checkpoint", "good", "other"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void An_adapter_of_quantized_weights_is_merged_into_others_on_request_only()
    {
        string checkpoint = RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true });
        using (PeftAdapter adapter = Adapter(checkpoint))
        using (PeftAdapter quantized = PeftAdapter.Create(adapter.Config, adapter.Modules.Values, trainedOn: WeightPrecision.W4A8))
        {
            quantized.Save(_folder["adapter"]);
        }

        string[] merge = ["merge", checkpoint, "--adapter", _folder["adapter"], "--output", _folder["merged"]];
        string[] export = ["export", checkpoint, "--adapter", _folder["adapter"], "--output", _folder["onnx"]];
        Failed(1, "was trained on w4a8 weights", ToolProcess.LongCat(merge));
        Failed(1, "was trained on w4a8 weights", ToolProcess.LongCat(export));
        Failed(1, "was trained on w4a8 weights", ToolProcess.LongCat([.. export, "--ops", "standard", "--precision", "int4"]));
        Assert.Equal(["adapter", "checkpoint"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order(StringComparer.Ordinal));

        // Asked for: onto the checkpoint's weights, or quantized again, which is the same as quantizing the merged checkpoint.
        Succeeds(ToolProcess.LongCat([.. merge, "--onto-unquantized"]));
        Assert.Contains("\"trained_on\": \"w4a8\"", File.ReadAllText(_folder["merged/merged_adapters.json"]), StringComparison.Ordinal);
        Succeeds(ToolProcess.LongCat([.. export, "--precision", "w4a8", "--recipe", "rtn"]));
        Succeeds(ToolProcess.LongCat("quantize", _folder["merged"], "--recipe", "rtn", "--output", _folder["after"]));
        Assert.Equal(File.ReadAllText(_folder["after/longcat.json"]), File.ReadAllText(_folder["onnx/longcat.json"]));
        Succeeds(ToolProcess.LongCat([.. export, "--onto-unquantized", "--overwrite"]));
        Failed(1, "choose another folder or ask for it to be overwritten (--overwrite)", ToolProcess.LongCat([.. merge, "--onto-unquantized"]));
        Succeeds(ToolProcess.LongCat([.. merge, "--onto-unquantized", "--overwrite"]));
        ToolProcess inspected = ToolProcess.LongCat("inspect", _folder["adapter"]);
        Assert.Contains("trained on  w4a8 weights: merged into others on request only", inspected.Output, StringComparison.Ordinal);
    }

    private static PeftAdapter Adapter(string checkpoint)
    {
        ModelConfig model = ModelConfig.Load(checkpoint);
        PeftConfig config = new() { Rank = 4, Alpha = 8, Targets = AdapterTargets.Preset("attention-dense") };
        Random random = new(5);
        float[] Values(long count) => [.. Enumerable.Range(0, (int)count).Select(_ => (random.NextSingle() - 0.5f) / 4)];
        Dictionary<string, ModelModule> modules = ModelModule.Of(model).ToDictionary(m => m.Path);
        return PeftAdapter.Create(config, config.Resolve(model).Select(path => new AdapterMatrix
        {
            Module = path, Rank = 4, Scale = 2, In = (int)modules[path].In, Out = (int)modules[path].Out, A = Values(4 * modules[path].In), B = Values(4 * modules[path].Out),
        }));
    }

    private static void Succeeds(ToolProcess run) => Assert.True(run.ExitCode == 0, run.Error);

    private static void Failed(int exitCode, string message, ToolProcess run)
    {
        Assert.True(run.ExitCode == exitCode, run.Output + run.Error);
        Assert.StartsWith("error: ", run.Error, StringComparison.Ordinal);
        Assert.Single(run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains(message, run.Error, StringComparison.Ordinal);
    }
}
