using System.Globalization;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.Training.FineTuning;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.FineTuning;

[Collection(OneTrainerAtATime.Name)]
public class FineTunerTests(ITestOutputHelper output)
{
    private static readonly FineTuningOptions s_options = new()
    {
        Steps = 40,
        BatchRows = 4,
        Columns = 32,
        LearningRate = 2e-2,
        WarmupSteps = 4,
        EvaluateEvery = 10,
        Threads = 2,
    };

    public static TheoryData<string, LoraOptions?> Methods => new()
    {
        { "LoRA", new LoraOptions() },
        { "rsLoRA with dropout", new LoraOptions { UseRsLora = true, Dropout = 0.1, Alpha = 8 } },
        { "DoRA", new LoraOptions { UseDora = true } },
        { "PiSSA", new LoraOptions { Initialization = LoraInitialization.Pissa, Rank = 4, Alpha = 4 } },
        { "AFA, ReLU", new LoraOptions { Afa = new AfaOptions() } },
        { "AFA, SiLU, cosine", new LoraOptions { Afa = new AfaOptions { Activation = AfaActivation.Silu, Schedule = AfaSchedule.Cosine } } },
        { "AFA, GELU, stairs", new LoraOptions { Afa = new AfaOptions { Activation = AfaActivation.Gelu, Schedule = AfaSchedule.Step } } },
        { "n-gram tables", new LoraOptions { TrainNGramTables = true } },
        { "full", null },
    };

    [Theory]
    [MemberData(nameof(Methods))]
    public void Every_method_learns(string name, LoraOptions? lora)
    {
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(60), TinyExamples.Make(20, seed: 5), s_options with { Lora = lora });
        var steps = new List<FineTuningStep>();
        var result = tuner.Run(new Collector(steps));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{name}: {tuner.TrainableParameters} parameters, training {steps[0].Loss:F3} -> {result.TrainingLoss:F3}, validation {result.InitialValidationLoss:F3} -> {result.ValidationLoss:F3} in {result.Elapsed.TotalSeconds:F1} s"));
        Assert.Equal(40, steps.Count);
        // The first token of an example is drawn by chance, so a tenth of the loss cannot be learned.
        Assert.True(result.ValidationLoss < 0.87 * result.InitialValidationLoss, $"validation went from {result.InitialValidationLoss} to {result.ValidationLoss}");
        Assert.All(steps, step => Assert.True(double.IsFinite(step.GradientNorm) && step.GradientNorm > 0));
        Assert.Equal(result.ValidationLoss!.Value, tuner.Evaluate(), 1e-6);
        if (lora?.Afa is not null)
        {
            Assert.Equal(1, steps[0].Beta);
            Assert.Equal(0, steps[^1].Beta);
            Assert.True(tuner.Adapted!.IsMergeable);
            Assert.True(result.BestStep >= 12);
        }
    }

    [Fact]
    public void Accumulation_equals_one_larger_batch()
    {
        var examples = TinyExamples.Make(60, prompt: 4);
        var whole = Trained(examples, s_options with { BatchRows = 6, Steps = 5, LearningRate = 1e-3 });
        var parts = Trained(examples, s_options with { BatchRows = 2, AccumulationSteps = 3, Steps = 5, LearningRate = 1e-3 });
        double largest = 0;
        for (int i = 0; i < whole.Losses.Length; i++)
        {
            Assert.Equal(whole.Losses[i], parts.Losses[i], 1e-5);
        }

        foreach (var (name, values) in whole.Weights)
        {
            for (int i = 0; i < values.Length; i++)
            {
                largest = Math.Max(largest, Math.Abs(values[i] - parts.Weights[name][i]));
            }
        }

        // The same sums in another order; Adam divides tiny gradients by their own size, so single weights may differ by a good part of the five steps of 1e-3.
        output.WriteLine($"largest difference of a weight: {largest:E2}");
        Assert.True(largest < 1e-3, $"weights differ by {largest}");
    }

    [Fact]
    public void The_loss_of_packed_examples_is_that_of_each_alone()
    {
        var examples = TinyExamples.Make(30, prompt: 3);
        using var model = TinyConfig.Create();
        using var packed = FineTuner.Create(model, examples, examples, s_options with { Lora = null, Columns = 96 });
        double together = packed.Evaluate();
        double sum = 0;
        int count = 0;
        foreach (var example in examples)
        {
            using var alone = FineTuner.Create(model, [example], [example], s_options with { Lora = null, Columns = 96 });
            sum += alone.Evaluate() * example.TrainableTokens;
            count += example.TrainableTokens;
        }

        Assert.Equal(sum / count, together, 1e-5);
    }

    [Fact]
    public void Only_trainable_tokens_count()
    {
        var examples = TinyExamples.Make(20, prompt: 5);
        using var model = TinyConfig.Create();
        using var whole = FineTuner.Create(model, examples, examples, s_options);

        // Other last tokens of the prompts' targets change nothing but what is read; the targets' own losses are those of a direct sum.
        double expected = 0;
        int count = 0;
        foreach (var example in examples)
        {
            using var scope = TorchSharp.torch.NewDisposeScope();
            using var frozen = TorchSharp.torch.no_grad();
            using var batch = new SequenceBatch([.. example.Ids.Select(id => (long)id)], 1, example.Ids.Length);
            var logits = model.Logits(model.Forward(batch).Hidden).log_softmax(1);
            for (int t = 1; t < example.Ids.Length; t++)
            {
                if (example.Trainable[t])
                {
                    expected -= logits[t - 1, example.Ids[t]].item<float>();
                    count++;
                }
            }
        }

        Assert.Equal(count, whole.Counts.TrainableTokens);
        Assert.Equal(expected / count, whole.Evaluate(), 1e-4);
    }

    [Fact]
    public void Equal_seeds_give_equal_weights_and_others_do_not()
    {
        var examples = TinyExamples.Make(40);
        var options = s_options with { Steps = 6, Lora = new LoraOptions { Dropout = 0.2, Seed = 3 } };
        var first = Trained(examples, options);
        var second = Trained(examples, options);
        var other = Trained(examples, options with { Seed = 2 });
        var third = Trained(examples, options with { Lora = new LoraOptions { Dropout = 0.2, Seed = 4 } });
        foreach (var (name, values) in first.Weights)
        {
            Assert.Equal(values, second.Weights[name]);
        }

        Assert.NotEqual(first.Losses, other.Losses);
        Assert.NotEqual(first.Losses, third.Losses);
    }

    [Fact]
    public void Training_stops_early_and_the_best_weights_stay()
    {
        // A rate that destroys the model: the validation loss rises.
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(40), TinyExamples.Make(20, seed: 8), s_options with
        {
            Steps = 400,
            LearningRate = 0.5,
            WarmupSteps = 0,
            Schedule = LearningRateSchedule.Constant,
            Lora = null,
            EvaluateEvery = 2,
            Patience = 3,
        });
        var steps = new List<FineTuningStep>();
        var result = tuner.Run(new Collector(steps));
        var measured = steps.Where(s => s.ValidationLoss is not null).ToArray();
        Assert.True(result.StoppedEarly);
        Assert.Equal(result.BestStep + 6, result.Steps);
        Assert.Equal(measured.Min(s => s.ValidationLoss), result.ValidationLoss);
        Assert.Equal(result.ValidationLoss!.Value, tuner.Evaluate(), 1e-6);
    }

    [Fact]
    public void A_loss_that_is_not_finite_stops_with_step_and_rows()
    {
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, TinyExamples.Make(6, length: 14), null, s_options with { Lora = null, Columns = 96 });
        tuner.Step();
        using (TorchSharp.torch.no_grad())
        {
            model.state_dict()["lm_head.weight"].fill_(float.NaN);
        }

        var e = Assert.Throws<FineTuningException>(() => tuner.Step());
        Assert.StartsWith("step 2: the loss is NaN; the batch has rows 1, 2, 3, 4, 5, 6.", e.Message, StringComparison.Ordinal);
        Assert.Contains("stopped at step 2", Assert.Throws<FineTuningException>(() => tuner.Step()).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => tuner.SaveState());
    }

    [Fact]
    public void LoraPlus_moves_B_faster()
    {
        var examples = TinyExamples.Make(20);
        var plain = Trained(examples, s_options with { Steps = 1, WarmupSteps = 0, LearningRate = 1e-3 });
        var plus = Trained(examples, s_options with { Steps = 1, WarmupSteps = 0, LearningRate = 1e-3, LoraPlusRatio = 8 });
        foreach (var (name, values) in plain.Weights)
        {
            double factor = name.Contains("lora_B", StringComparison.Ordinal) ? 8 : 1;
            if (factor > 1)
            {
                // B begins at zero, so after one step it is the update.
                Assert.Equal(factor * values.Max(), plus.Weights[name].Max(), 1e-4 * factor);
            }
            else
            {
                Assert.Equal(values, plus.Weights[name]);
            }
        }
    }

    [Fact]
    public void Gradient_checkpointing_changes_nothing()
    {
        var examples = TinyExamples.Make(20);
        var options = s_options with { Steps = 4, Lora = new LoraOptions { Afa = new AfaOptions { EndFraction = 1 }, Dropout = 0.1 } };
        var kept = Trained(examples, options);
        var again = Trained(examples, options with { GradientCheckpointing = true });
        Assert.Equal(kept.Losses, again.Losses);
        Assert.All(kept.Weights, w => Assert.Equal(w.Value, again.Weights[w.Key]));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Weights_on_another_device_are_trained_by_copies_here(bool tables)
    {
        // There is one device, so the copies are of tensors beside them; the traffic is the same.
        var examples = TinyExamples.Make(20);
        var options = s_options with { Steps = 4, Lora = new LoraOptions { UseDora = true, TrainNGramTables = tables }, AccumulationSteps = 2, WeightDecay = 0.1 };
        var direct = Trained(examples, options);
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.CreateWithCopies(model, examples, options);
        var steps = new List<FineTuningStep>();
        tuner.Run(new Collector(steps));
        Assert.Equal(direct.Losses, steps.Select(s => s.Loss));
        Assert.All(tuner.Adapted!.Parameters, p => Assert.Equal(direct.Weights[p.Name], p.Parameter.data<float>().ToArray()));
    }

    [Fact]
    public void A_disposed_trainer_leaves_the_callers_model_as_it_was()
    {
        using var model = TinyConfig.Create();
        var before = model.state_dict().ToDictionary(t => t.Key, t => t.Value.bytes.ToArray());
        using (var tuner = FineTuner.Create(model, TinyExamples.Make(20), null, s_options with { Steps = 2 }))
        {
            tuner.Run();
        }

        var after = model.state_dict();
        Assert.Equal(before.Count, after.Count);
        Assert.All(after, t => Assert.True(t.Value.bytes.SequenceEqual(before[t.Key]), t.Key));
    }

    [Theory]
    [InlineData("cuda")]
    [InlineData("cuda:1")]
    public void A_device_that_is_not_there_is_refused(string device)
    {
        using var model = TinyConfig.Create();
        if (TorchSharp.torch.cuda_is_available())
        {
            return;
        }

        var e = Assert.Throws<FineTuningException>(() => FineTuner.Create(model, TinyExamples.Make(3), null, s_options with { Device = device }));
        Assert.Contains($"the device is {device}, and this libtorch has no CUDA device", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_that_cannot_work_are_refused_by_name()
    {
        using var model = TinyConfig.Create();
        var examples = TinyExamples.Make(3);
        Refused<FineTuningException>("the device is 'gpu', expected cpu, cuda or cuda:n", o => o with { Device = "gpu" });
        Refused<FineTuningException>("Columns is 512, the model's longest sequence is 128", o => o with { Columns = 512 });
        Refused<ArgumentException>("LearningRate is NaN", o => o with { LearningRate = double.NaN });
        Refused<ArgumentException>("Steps is 0", o => o with { Steps = 0 });
        Refused<ArgumentException>("Epochs is -1", o => o with { Steps = null, Epochs = -1 });
        Refused<ArgumentException>("Base is BFloat16, expected Float32 in full fine-tuning", o => o with { Lora = null, Base = BaseWeights.BFloat16 });
        Refused<ArgumentException>("LoraPlusRatio is 2, expected 1 in full fine-tuning", o => o with { Lora = null, LoraPlusRatio = 2 });
        Refused<ArgumentException>("Patience is 2", o => o with { Patience = 2, EvaluateEvery = 0 });
        Refused<ArgumentException>("Optimizer.Epsilon is 0", o => o with { Optimizer = o.Optimizer with { Epsilon = 0 } });
        Refused<FineTuningException>("row 1 of the training examples holds the token id 50, expected 0..49", o => o, new TrainingExample([1, 50], [false, true]) { Source = 1 });
        Refused<FineTuningException>("no training example is left to use: 1 have no trainable token", o => o, new TrainingExample([1, 4], [true, false]));
        Refused<FineTuningException>("has 2 ids and 1 marks", o => o, new TrainingExample([1, 4], [true]));

        void Refused<T>(string expected, Func<FineTuningOptions, FineTuningOptions> change, TrainingExample? only = null)
            where T : Exception
        {
            var e = Assert.Throws<T>(() => FineTuner.Create(model, only is null ? examples : [only], null, change(s_options)));
            Assert.Contains(expected, e.Message, StringComparison.Ordinal);
        }
    }

    private static (double[] Losses, Dictionary<string, float[]> Weights) Trained(IEnumerable<TrainingExample> examples, FineTuningOptions options)
    {
        using var model = TinyConfig.Create();
        using var tuner = FineTuner.Create(model, examples, null, options);
        var steps = new List<FineTuningStep>();
        tuner.Run(new Collector(steps));
        return ([.. steps.Select(s => s.Loss)], tuner.Adapted!.Parameters.ToDictionary(p => p.Name, p => p.Parameter.data<float>().ToArray()));
    }

    /// <summary>Hears at once, unlike <see cref="Progress{T}"/>.</summary>
    internal sealed class Collector(List<FineTuningStep> steps) : IProgress<FineTuningStep>
    {
        public void Report(FineTuningStep value) => steps.Add(value);
    }
}
