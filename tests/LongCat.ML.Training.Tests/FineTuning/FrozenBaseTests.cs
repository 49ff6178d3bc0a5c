using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.FineTuning;

/// <summary>Adapters on weights that are held in 16 or 4 bits: from the checkpoint's folder to the adapter's, with a kill between.</summary>
[Collection(OneTrainerAtATime.Name)]
public sealed class FrozenBaseTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly ITestOutputHelper _output;
    private readonly string _checkpoint;

    public FrozenBaseTests(ITestOutputHelper output)
    {
        _output = output;
        _checkpoint = RandomCheckpoint.Write(_folder["checkpoint"], new RandomCheckpointOptions { Tokenizer = true });
    }

    public void Dispose() => _folder.Dispose();

    public static TheoryData<BaseWeights, string> Cases => new()
    {
        { BaseWeights.BFloat16, "LoRA" },
        { BaseWeights.W4A8, "LoRA" },
        { BaseWeights.W4A8, "AFA with dropout, layers computed again" },
        { BaseWeights.W4A8, "DoRA" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_loss_falls_the_adapter_is_saved_and_a_resumed_run_is_the_same(BaseWeights weights, string method)
    {
        var train = Examples(40, 3);
        var held = Examples(12, 4);
        var options = new FineTuningOptions
        {
            Base = weights,
            Lora = new LoraOptions
            {
                Rank = 8,
                Alpha = 16,
                Targets = AdapterTargets.AllLinear,
                UseDora = method == "DoRA",
                Dropout = method.Contains("dropout", StringComparison.Ordinal) ? 0.1 : 0,
                Afa = method.StartsWith("AFA", StringComparison.Ordinal) ? new AfaOptions { Activation = AfaActivation.Silu, EndFraction = 0.5 } : null,
            },
            GradientCheckpointing = method.Contains("again", StringComparison.Ordinal),
            Steps = 24,
            BatchRows = 4,
            Columns = 32,
            LearningRate = 1e-2,
            EvaluateEvery = 6,
            SaveEvery = 0,
            Threads = 2,
            StateFolder = _folder["states"],
        };

        string text;
        using (var whole = FineTuner.Create(_checkpoint, train, held, options))
        {
            Assert.Equal(weights, whole.Model.BaseWeights);
            var result = whole.Run();
            text = string.Create(CultureInfo.InvariantCulture, $"{weights}, {method}: validation {result.InitialValidationLoss:F3} -> {result.ValidationLoss:F3} in {result.Elapsed.TotalSeconds:F1} s");
            _output.WriteLine(text);
            Assert.True(result.ValidationLoss < 0.85 * result.InitialValidationLoss, text);
            whole.Save(_folder["whole"]);
        }

        using (var broken = FineTuner.Create(_checkpoint, train, held, options))
        {
            for (int step = 0; step < 9; step++)
            {
                broken.Step();
            }

            broken.SaveState();
        }

        using (var resumed = FineTuner.Create(_checkpoint, train, held, options with { EvaluateEvery = 6 }))
        {
            Assert.True(resumed.Resume());
            Assert.Equal(9, resumed.Steps);
            resumed.Run();
            resumed.Save(_folder["resumed"]);
        }

        foreach (string file in new[] { "adapter_config.json", "adapter_model.safetensors", "training_base.json" })
        {
            Assert.Equal(File.ReadAllBytes(_folder["whole/" + file]), File.ReadAllBytes(_folder["resumed/" + file]));
        }

        // It is of use on the weights that it was trained on, and says which these are.
        using var adapter = PeftAdapter.Load(_folder["whole"]);
        Assert.Equal(weights == BaseWeights.W4A8 ? WeightPrecision.W4A8 : WeightPrecision.BF16, adapter.TrainedOn);
        using var model = CausalLanguageModel.Load(_checkpoint, weights);
        using var adapted = AdaptedModel.Attach(model, adapter);
        Assert.False(weights == BaseWeights.W4A8 && adapted.IsMergeable);
        using var again = adapted.ToPeft();
        Assert.Equal(adapter.TrainedOn, again.TrainedOn);
        if (weights == BaseWeights.W4A8)
        {
            Assert.Contains("was trained on w4a8 weights", Assert.Throws<AdapterException>(() => MergedCheckpoint.Write(_checkpoint, [adapter], _folder["merged"])).Message, StringComparison.Ordinal);
            Assert.False(Directory.Exists(_folder["merged"]));
        }

        MergedCheckpoint.Write(_checkpoint, [adapter], _folder["merged"], new MergeOptions { OntoUnquantized = true });
    }

    [Fact]
    public void A_state_of_other_weights_is_refused()
    {
        var options = new FineTuningOptions { Base = BaseWeights.W4A8, Steps = 4, BatchRows = 2, Columns = 32, Threads = 1, StateFolder = _folder["states"] };
        using (var tuner = FineTuner.Create(_checkpoint, Examples(8, 3), null, options))
        {
            tuner.Step();
            tuner.SaveState();
        }

        using var other = FineTuner.Create(_checkpoint, Examples(8, 3), null, options with { Base = BaseWeights.BFloat16 });
        Assert.Contains("'base weights: W4A8' in the state, 'base weights: BFloat16' now", Assert.Throws<CheckpointException>(() => other.Resume()).Message, StringComparison.Ordinal);
    }

    /// <summary>Each token decides the next one.</summary>
    private static List<TrainingExample> Examples(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(row =>
        {
            int[] ids = new int[random.Next(8, 16)];
            ids[0] = 1;
            ids[1] = 20 + random.Next(40);
            for (int i = 2; i < ids.Length; i++)
            {
                ids[i] = 20 + (((ids[i - 1] * 7) + 5) % 41);
            }

            return new TrainingExample(ids, [.. ids.Select((_, i) => i >= 2)]) { Source = row + 1 };
        })];
    }
}
