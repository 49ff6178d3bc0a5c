using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tests.FineTuning;

[Collection(OneTrainerAtATime.Name)]
public class FineTuningStateTests
{
    private static readonly FineTuningOptions s_options = new()
    {
        Steps = 12,
        BatchRows = 3,
        AccumulationSteps = 2,
        Columns = 32,
        LearningRate = 1e-2,
        EvaluateEvery = 3,
        SaveEvery = 0,
        Threads = 2,
    };

    public static TheoryData<string, LoraOptions?> Methods => new()
    {
        { "AFA with dropout", new LoraOptions { Dropout = 0.1, Afa = new AfaOptions { EndFraction = 0.6 } } },
        { "DoRA and n-gram tables", new LoraOptions { UseDora = true, TrainNGramTables = true } },
        { "PiSSA", new LoraOptions { Initialization = LoraInitialization.Pissa } },
        { "full", null },
    };

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_resumed_run_gives_the_same_weights_bit_for_bit(string name, LoraOptions? lora)
    {
        Assert.NotEmpty(name);
        var train = TinyExamples.Make(50);
        var held = TinyExamples.Make(10, seed: 4);
        using var folder = new TemporaryFolder();
        var options = s_options with { Lora = lora, StateFolder = folder.Path };
        using var wholeModel = TinyConfig.Create();
        using var whole = FineTuner.Create(wholeModel, train, held, options);
        var expected = whole.Run();

        using (var model = TinyConfig.Create())
        using (var tuner = FineTuner.Create(model, train, held, options))
        {
            using var cancelled = new CancellationTokenSource();
            Assert.Throws<OperationCanceledException>(() => tuner.Run(new After(5, cancelled), cancelled.Token));
            Assert.Equal(5, tuner.Steps);
        }

        using var resumedModel = TinyConfig.Create();
        using var resumed = FineTuner.Create(resumedModel, train, held, options);
        Assert.True(resumed.Resume());
        Assert.Equal(5, resumed.Steps);
        var actual = resumed.Run();
        Assert.Equal(expected with { Elapsed = default, PeakMemory = 0 }, actual with { Elapsed = default, PeakMemory = 0 });
        var weights = whole.Masters.Copy();
        var again = resumed.Masters.Copy();
        for (int i = 0; i < weights.Length; i++)
        {
            Assert.Equal(weights[i], again[i]);
        }
    }

    [Fact]
    public void A_state_of_other_settings_or_rows_is_refused_and_says_which()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create();
        var options = s_options with { StateFolder = folder.Path };
        using (var tuner = FineTuner.Create(model, TinyExamples.Make(20), null, options))
        {
            Assert.False(tuner.Resume());
            tuner.Step();
            tuner.SaveState();
            Assert.Throws<InvalidOperationException>(() => tuner.Resume());
        }

        Refused("'learning rate: 0.01' in the state, 'learning rate: 0.02' now", TinyExamples.Make(20), options with { LearningRate = 0.02 });
        Refused("'training examples: ", TinyExamples.Make(21), options);
        Refused("rank 8", TinyExamples.Make(20), options with { Lora = new LoraOptions { Rank = 4 } });

        string state = Directory.GetDirectories(folder.Path).Single();
        File.WriteAllText(Path.Combine(state, "state.json"), "{");
        Refused("cannot be read", TinyExamples.Make(20), options);

        void Refused(string expected, List<TrainingExample> examples, FineTuningOptions other)
        {
            using var tuner = FineTuner.Create(model, examples, null, other);
            Assert.Contains(expected, Assert.Throws<CheckpointException>(() => tuner.Resume()).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void States_need_a_folder()
    {
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(20), null, s_options);
        Assert.Contains("StateFolder is null", Assert.Throws<InvalidOperationException>(() => tuner.SaveState()).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => tuner.Resume());
    }

    private sealed class After(long step, CancellationTokenSource source) : IProgress<FineTuningStep>
    {
        public void Report(FineTuningStep value)
        {
            if (value.Step == step)
            {
                source.Cancel();
            }
        }
    }
}
