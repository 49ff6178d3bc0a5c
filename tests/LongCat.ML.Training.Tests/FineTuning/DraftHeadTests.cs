using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Inference;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.Onnx;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.FineTuning;

/// <summary>The draft head alone learns: the token after the next one, on a model that stays as it is.</summary>
[Collection(OneTrainerAtATime.Name)]
public sealed class DraftHeadTests(ITestOutputHelper output) : IDisposable
{
    private static readonly FineTuningOptions s_options =
        new() { Lora = null, DraftHead = true, Steps = 60, BatchRows = 4, Columns = 32, LearningRate = 1e-2, EvaluateEvery = 20, Threads = 2 };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Methods => ["full", "lora", "dora", "pissa", "afa"];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Methods))]
    public void Only_the_head_changes_and_it_learns(string method)
    {
        Write("model", bfloat16: method == "lora");
        double trained;
        using (var tuner = FineTuner.Create(_folder["model"], TinyExamples.Make(60), TinyExamples.Make(20, seed: 2), s_options with { Lora = Adapter(method) }))
        {
            Dictionary<string, byte[]> before = Values(tuner.Model);
            if (method == "full")
            {
                Assert.Equal(before.Where(p => IsHead(p.Key)).Sum(p => p.Value.LongLength / 4), tuner.TrainableParameters);
            }

            var result = tuner.Run();
            output.WriteLine($"{method}: {result.InitialValidationLoss:F3} -> {result.ValidationLoss:F3}");
            Assert.True(result.ValidationLoss < 0.8 * result.InitialValidationLoss, $"{result.InitialValidationLoss} -> {result.ValidationLoss}");
            trained = tuner.Evaluate();
            tuner.Save(_folder["tuned"]);
            Assert.Contains("the draft head", File.ReadAllText(Path.Combine(_folder["tuned"], "report.html")), StringComparison.Ordinal);

            // Saving leaves the trainer as it was.
            Assert.Equal(trained, tuner.Evaluate());
        }

        // The checkpoint has the same tensors in the same types, and all but the head's keep their bytes.
        using var first = Checkpoint.Open(_folder["model"]);
        using var second = Checkpoint.Open(_folder["tuned"]);
        second.Validate();
        Assert.Equal(first.Tensors.Keys.Order(), second.Tensors.Keys.Order());
        foreach (var (name, entry) in first.Tensors)
        {
            Assert.Equal(entry.Type, second.Entry(name).Type);
            bool changes = IsHead(name) && (method == "full" || name.EndsWith("_proj.weight", StringComparison.Ordinal) || name.Contains("_proj_", StringComparison.Ordinal));
            Assert.True(changes != second.GetBytes(name).SequenceEqual(first.GetBytes(name)), name);
        }

        Assert.True(File.Exists(Path.Combine(_folder["tuned"], "tokenizer.json")));

        // What was written is what was trained: merged where it was an adapter.
        using var again = FineTuner.Create(_folder["tuned"], TinyExamples.Make(60), TinyExamples.Make(20, seed: 2), s_options);
        Assert.Equal(trained, again.Evaluate(), method == "lora" ? 2e-2 : 1e-4);
    }

    [Theory]
    [InlineData("full")]
    [InlineData("lora")]
    [InlineData("afa")]
    public async Task More_of_what_the_head_proposes_is_accepted(string method)
    {
        // The model's own greedy texts teach the head; acceptance is that of other prompts, which no training saw.
        Write("model", bfloat16: false);
        string plain = OnnxExporter.Export(_folder["model"], _folder["plain"]).Folder;
        int[][] prompts = Prompts(200, seed: 5), held = Prompts(24, seed: 6);
        var (texts, _) = await Continue(plain, [.. prompts, .. held]);
        TrainingExample[] examples = [.. texts.Take(prompts.Length).Select((text, i) => new TrainingExample([.. prompts[i], .. text], [.. Enumerable.Range(0, prompts[i].Length + text.Count).Select(t => t >= prompts[i].Length)]))];
        using (var tuner = FineTuner.Create(_folder["model"], examples, null, s_options with { Lora = Adapter(method), Steps = 300, BatchRows = 8, Columns = 64 }))
        {
            tuner.Run();
            tuner.Save(_folder["tuned"]);
        }

        var (_, before) = await Continue(plain, held);
        var (same, after) = await Continue(OnnxExporter.Export(_folder["tuned"], _folder["onnx"]).Folder, held);
        output.WriteLine($"{method}: acceptance {before:F3} -> {after:F3}");
        Assert.Equal(texts.Skip(prompts.Length), same);
        Assert.True(after > before + 0.06, $"{before} -> {after}");
    }

    [Fact]
    public void What_cannot_be_trained_is_named()
    {
        Refused<ArgumentException>("Base is BFloat16, expected Float32", () => (s_options with { Base = BaseWeights.BFloat16, Lora = new() }).Validate());
        Refused<ArgumentException>("Device is cuda, expected cpu", () => (s_options with { Device = "cuda", Lora = new() }).Validate());
        Refused<ArgumentException>("TrainNGramTables is True", () => (s_options with { Lora = new() { TrainNGramTables = true } }).Validate());
        Refused<ArgumentException>("ModulesToSave is lm_head", () => (s_options with { Lora = new() { ModulesToSave = ["lm_head"] } }).Validate());
        RandomCheckpoint.Write(_folder["headless"], new RandomCheckpointOptions { Mtp = false, HiddenSize = 24, FfnSize = 32, ExpertSize = 16 });
        Refused<FineTuningException>("no multi-token-prediction head", () => FineTuner.Create(_folder["headless"], TinyExamples.Make(5), null, s_options));
        Write("model", bfloat16: false);
        Refused<AdapterException>("mlps", () => FineTuner.Create(_folder["model"], TinyExamples.Make(5), null, s_options with { Lora = new() { Targets = AdapterTargets.Names("mlps") } }));

        // Two tokens have none after the next one.
        using var model = TinyConfig.Create();
        TrainingExample[] tooShort = [new([1, 5], [true, true])];
        Refused<FineTuningException>("1 have no trainable token", () => FineTuner.Create(model, tooShort, null, s_options));

        static void Refused<T>(string expected, Action action)
            where T : Exception => Assert.Contains(expected, Assert.ThrowsAny<T>(action).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_that_is_still_annealing_is_not_saved()
    {
        Write("model", bfloat16: false);
        using var tuner = FineTuner.Create(_folder["model"], TinyExamples.Make(60), null, s_options with { Lora = Adapter("afa") });
        tuner.Step();
        Assert.Contains("still annealing", Assert.Throws<InvalidOperationException>(() => tuner.Save(_folder["early"])).Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["early"]));
    }

    [Fact]
    public void A_model_of_the_caller_is_as_it_was_afterwards()
    {
        using var model = TinyConfig.Create();
        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.requires_grad));
        using (var tuner = FineTuner.Create(model, TinyExamples.Make(20), null, s_options))
        {
            Assert.All(model.named_parameters(), p => Assert.Equal(IsHead(p.name), p.parameter.requires_grad));
        }

        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.requires_grad));
    }

    [Fact]
    public void A_head_in_eight_bits_is_refused()
    {
        Write("model", bfloat16: false);
        Directory.CreateDirectory(_folder["packed"]);
        File.Copy(Path.Combine(_folder["model"], "config.json"), Path.Combine(_folder["packed"], "config.json"));
        const string Packed = "model.mtp.layers.0.eh_proj.weight";
        using (var source = Checkpoint.Open(_folder["model"]))
        {
            TensorDeclaration[] declarations = [.. source.Tensors.Values.Select(t => new TensorDeclaration(t.Name, t.Name == Packed ? TensorType.Float8E4M3 : t.Type, t.Shape))];
            using var writer = SafetensorsWriter.Create(Path.Combine(_folder["packed"], "model.safetensors"), [.. declarations, new TensorDeclaration(Packed + "_scale_inv", TensorType.Float32, [1, 1])]);
            foreach (var tensor in source.Tensors.Values)
            {
                writer.Write(tensor.Name, tensor.Name == Packed ? new byte[tensor.ElementCount] : source.GetBytes(tensor.Name));
            }

            writer.Write(Packed + "_scale_inv", [1f]);
            writer.Complete();
        }

        Assert.Contains($"{Packed} is stored as Float8E4M3", Assert.Throws<FineTuningException>(() => FineTuner.Create(_folder["packed"], TinyExamples.Make(5), null, s_options)).Message, StringComparison.Ordinal);
    }

    private static LoraOptions? Adapter(string method) => method == "full" ? null : new LoraOptions
    {
        Rank = 8,
        Alpha = 16,
        UseDora = method == "dora",
        Initialization = method == "pissa" ? LoraInitialization.Pissa : LoraInitialization.Default,
        Afa = method == "afa" ? new AfaOptions { Activation = AfaActivation.Silu, EndFraction = 0.5 } : null,
        Seed = 3,
    };

    private static int[][] Prompts(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (int[])[1, .. Enumerable.Range(0, 6).Select(_ => random.Next(16, 272))])];
    }

    /// <summary>Greedy texts of an exported model that speculates with its head, and the share of the head's proposals that were accepted.</summary>
    private static async Task<(List<IReadOnlyList<int>> Texts, double Acceptance)> Continue(string folder, int[][] prompts)
    {
        SpeculativeOptions speculation = new() { Proposer = SpeculativeProposer.Mtp, MaxDraftTokens = 2 };
        await using InferenceEngine engine = InferenceEngine.Load(folder, new EngineOptions { Threads = 2, Speculation = speculation });
        GenerationResult[] results = await Task.WhenAll(prompts.Select(prompt => engine.GenerateAsync(new GenerationRequest
        {
            PromptIds = prompt,
            Options = new GenerationOptions { MaxNewTokens = 24, IgnoreEos = true },
        })));
        return ([.. results.Select(result => result.Ids)], engine.Statistics.Speculation!.AcceptanceRate);
    }

    private void Write(string name, bool bfloat16) => RandomCheckpoint.Write(
        _folder[name], new RandomCheckpointOptions { Mtp = true, HiddenSize = 24, FfnSize = 32, ExpertSize = 16, Tokenizer = true, BFloat16 = bfloat16 });

    private static bool IsHead(string name) => name.StartsWith("model.mtp.", StringComparison.Ordinal);

    private static Dictionary<string, byte[]> Values(CausalLanguageModel model) => model.named_parameters().ToDictionary(p => p.name, p => MemoryMarshal.AsBytes(p.parameter.bytes).ToArray());
}
