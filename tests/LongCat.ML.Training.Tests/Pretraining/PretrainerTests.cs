using System.Globalization;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.TestShared;
using LongCat.ML.Training.Data;
using LongCat.ML.Training.Pretraining;
using LongCat.ML.Training.Reports;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.Pretraining;

public class PretrainerTests(ITestOutputHelper output)
{
    private static readonly PretrainingOptions s_options = new()
    {
        Columns = 32,
        Rows = 4,
        DraftRows = 2,
        WarmupSteps = 4,
        PeakLearningRate = 1e-2,
        BalanceGroups = 2,
        ExpectedRealExperts = 1.3,
        HiddenZWeight = 1e-5,
        Threads = 2,
        Budget = new TrainingBudget { Steps = 12 },
    };

    [Fact]
    public void A_resumed_run_gives_the_same_weights_bit_for_bit()
    {
        var documents = PackedRowsTests.Documents(50, 20);
        using var folder = new TemporaryFolder();
        using var whole = TinyConfig.Create();
        using (var trainer = new Pretrainer(whole, documents, s_options, 2))
        {
            Train(trainer, 12);
        }

        using (var first = TinyConfig.Create())
        using (var trainer = new Pretrainer(first, documents, s_options, 2))
        {
            Train(trainer, 6);
            TrainingState.Save(trainer, folder.Path);
        }

        using var resumed = TinyConfig.Create(seed: 99);
        using (var trainer = new Pretrainer(resumed, documents, s_options, 2))
        {
            TrainingState.Restore(trainer, TrainingState.Newest(folder.Path)!);
            Assert.Equal(6, trainer.Steps);
            Train(trainer, 6);
        }

        var expected = whole.state_dict();
        foreach (var (name, value) in resumed.state_dict())
        {
            Assert.True(value.bytes.SequenceEqual(expected[name].bytes), $"{name} differs");
        }
    }

    [Fact]
    public void Learns_a_rule_and_the_draft_head_agrees()
    {
        var documents = PackedRowsTests.Documents(300, 20);
        using var model = TinyConfig.Create();
        using var trainer = new Pretrainer(model, documents, s_options with { Rows = 8, DraftRows = 8, Budget = new TrainingBudget { Steps = 150 } }, 2);
        double first = trainer.Step().Loss, last = 0;
        while (trainer.Progress < 1)
        {
            last = trainer.Step().Loss;
        }

        var report = HeldOutEvaluation.Run(model, PackedRows.Pack(PackedRowsTests.Documents(60, 20), 32, 1), 2);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"loss {first:F3} -> {last:F3}, held out {report.Loss:F3}, draft agreement {report.DraftAgreement:P1}"));
        Assert.True(last < 0.45 * first, $"loss went from {first} to {last}");
        Assert.True(report.DraftAgreement > 0.5, $"draft agreement {report.DraftAgreement}");
    }

    [Fact]
    public void A_cancelled_run_saves_and_continues_and_draws_its_curve()
    {
        var documents = PackedRowsTests.Documents(50, 20);
        var heldOut = PackedRows.Pack(documents, 32, 1);
        using var folder = new TemporaryFolder();
        using (var model = TinyConfig.Create())
        using (var trainer = new Pretrainer(model, documents, s_options, 2))
        {
            using var cancelled = new CancellationTokenSource();
            var run = new PretrainingRun(folder.Path, TinyConfig.Json, trainer, heldOut, 2) { LogEvery = 1 };
            Assert.Null(run.Train(line => { if (trainer.Steps == 5) { cancelled.Cancel(); } }, cancelled.Token));
            Assert.Equal(5, trainer.Steps);
        }

        using (var model = TinyConfig.Create(seed: 7))
        using (var trainer = new Pretrainer(model, documents, s_options, 2))
        {
            var run = new PretrainingRun(folder.Path, TinyConfig.Json, trainer, heldOut, 2) { LogEvery = 1 };
            Assert.True(run.Resume());
            var report = run.Train(_ => { }, CancellationToken.None);
            Assert.NotNull(report);
            Assert.Equal(12, trainer.Steps);
            Assert.Equal(13, File.ReadLines(run.LogFile).Count());
            using var loaded = LongcatFlashForCausalLM.Load(run.CheckpointFolder);
        }

        Assert.Contains("<polyline", File.ReadAllText(Path.Combine(folder.Path, "loss.svg")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_state_of_another_seed_is_refused()
    {
        var documents = PackedRowsTests.Documents(50, 20);
        using var folder = new TemporaryFolder();
        using var model = TinyConfig.Create();
        using var trainer = new Pretrainer(model, documents, s_options, 2);
        TrainingState.Save(trainer, folder.Path);
        using var other = new Pretrainer(model, documents, s_options with { Seed = 1 }, 2);
        var e = Assert.Throws<LongCat.ML.Checkpoints.CheckpointException>(() => TrainingState.Restore(other, TrainingState.Newest(folder.Path)!));
        Assert.Contains("resume with the settings the run began with", e.Message, StringComparison.Ordinal);
    }

    private static void Train(Pretrainer trainer, int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            trainer.Step();
        }
    }
}
