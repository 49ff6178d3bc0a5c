using System.Globalization;
using System.Xml.Linq;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;
using LongCat.ML.Training.Tests.FineTuning;
using LongCat.ML.Training.ZigZag;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Training.Tests.ZigZag;

[Collection(OneTrainerAtATime.Name)]
public class ZigZagCalibratorTests(ITestOutputHelper output)
{
    /// <summary>A span of 8 tokens.</summary>
    private static readonly ZigZagCalibrationOptions s_options = new() { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 1, Steps = 40, LearningRate = 0.02, BatchRows = 6, Columns = 48, Threads = 2, SaveEvery = 0 };

    /// <summary>
    /// Texts that the model says with full attention are best explained by α = 1, texts that it says with streaming attention by α = 0; an attention whose output matrix is zero says nothing, so its α stays.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Alpha_goes_where_the_texts_come_from_and_stays_where_it_does_not_matter(bool full)
    {
        using var model = Model(silent: 0);
        List<TrainingExample> texts, held;
        using (var speaker = full ? null : StreamingBlend.Attach(model, s_options.Pattern([0, 1]), 0))
        {
            texts = SampledTexts.Draw(model, 60, 48, sharpness: 1, seed: 3);
            held = SampledTexts.Draw(model, 20, 48, sharpness: 1, seed: 4);
        }

        using var calibrator = ZigZagCalibrator.Create(model, texts, held, s_options);
        List<FineTuningStep> steps = [];
        var result = calibrator.Run(new Collector(steps));
        var alphas = calibrator.Result.Attentions;
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"full {full}: {string.Join(", ", alphas)}; validation {result.InitialValidationLoss:F4} -> {result.ValidationLoss:F4}"));
        Assert.Equal([(0, "model.layers.0.self_attn.0"), (1, "model.layers.0.self_attn.1")], alphas.Select(entry => (entry.Attention, entry.Module)));
        Assert.Equal(0.5, alphas[0].Alpha);
        Assert.True(full ? alphas[1].Alpha > 0.75 : alphas[1].Alpha < 0.25, $"alpha is {alphas[1].Alpha}");
        Assert.True(result.ValidationLoss < result.InitialValidationLoss);
        Assert.Equal([full ? 0 : 1], calibrator.Result.Choose(0.5).AttentionLayers);
        Assert.All(steps, step => Assert.True(step.GradientNorm > 0));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void A_resumed_run_gives_the_same_alpha_bit_for_bit(bool checkpointing, bool accumulation)
    {
        using var folder = new TemporaryFolder();
        var options = s_options with { Steps = 9, StateFolder = folder.Path, GradientCheckpointing = checkpointing, AccumulationSteps = accumulation ? 2 : 1 };
        using var model = Model();
        var texts = TinyTexts(30);
        IReadOnlyList<AttentionAlpha> expected;
        using (var whole = ZigZagCalibrator.Create(model, texts, null, options))
        {
            whole.Run();
            expected = whole.Result.Attentions;
        }

        using (var stopped = ZigZagCalibrator.Create(model, texts, null, options))
        {
            using var cancelled = new CancellationTokenSource();
            Assert.Throws<OperationCanceledException>(() => stopped.Run(new After(4, cancelled), cancelled.Token));
        }

        using (var other = ZigZagCalibrator.Create(model, texts, null, options with { InitialAlpha = 0.25 }))
        {
            Assert.Contains("alpha from 0.5", Assert.Throws<CheckpointException>(() => other.Resume()).Message, StringComparison.Ordinal);
        }

        using var resumed = ZigZagCalibrator.Create(model, texts, null, options);
        Assert.True(resumed.Resume());
        Assert.Equal(4, resumed.Steps);
        resumed.Run();
        Assert.Equal(expected, resumed.Result.Attentions);
        Assert.DoesNotContain(expected, entry => entry.Alpha == 0.5);
    }

    [Fact]
    public void Only_alpha_is_trained_and_the_model_is_as_before()
    {
        using var model = Model();
        var before = model.state_dict().ToDictionary(t => t.Key, t => t.Value.data<float>().ToArray());
        using (var calibrator = ZigZagCalibrator.Create(model, TinyTexts(20), null, s_options with { Steps = 3 }))
        {
            calibrator.Run();
            Assert.Equal(3, calibrator.Steps);
        }

        foreach (var (name, value) in model.state_dict())
        {
            Assert.Equal(before[name], value.data<float>().ToArray());
        }

        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.requires_grad));
    }

    /// <summary>Frozen weights of other precisions give nearly the same direction.</summary>
    [Theory]
    [InlineData(BaseWeights.BFloat16)]
    [InlineData(BaseWeights.W4A8)]
    public void Frozen_weights_in_fewer_bits_can_be_calibrated(BaseWeights weights)
    {
        using var folder = new TemporaryFolder();
        RandomDecoder.Write(folder["model"], new RandomDecoderOptions { Layers = 3, HiddenSize = 64, IntermediateSize = 64 });
        var random = new Random(3);
        List<TrainingExample> texts = [.. Enumerable.Range(0, 12).Select(_ => new TrainingExample([.. Enumerable.Range(0, 40).Select(_ => random.Next(3, 272))], [.. Enumerable.Repeat(true, 40)]))];
        using var calibrator = ZigZagCalibrator.Create(folder["model"], texts, null, s_options with { Steps = 2, Base = weights, Share = 0.34 });
        calibrator.Run();
        Assert.Equal(["model.layers.0.self_attn", "model.layers.1.self_attn", "model.layers.2.self_attn"], calibrator.Result.Attentions.Select(entry => entry.Module));
        Assert.All(calibrator.Result.Attentions, entry => Assert.InRange(Math.Abs(entry.Alpha - 0.5), 1e-4, 0.1));
        Assert.Single(calibrator.Result.Choose(0.34).AttentionLayers);
    }

    [Fact]
    public void The_folder_has_alpha_and_a_report_with_picture_and_table()
    {
        using var folder = new TemporaryFolder();
        using var model = Model();
        using var calibrator = ZigZagCalibrator.Create(model, TinyTexts(20), null, s_options with { Steps = 3 });
        calibrator.Run();
        string report = calibrator.Save(folder["out"]);
        Assert.Equal(["report.html", "zigzag.json"], Directory.GetFiles(folder["out"]).Select(Path.GetFileName).Order());
        var read = ZigZagCalibration.Load(folder["out"]);
        Assert.Equal(calibrator.Result.Attentions, read.Attentions);
        Assert.Equal(calibrator.Result with { Attentions = [] }, read with { Attentions = [] });
        XDocument html = XDocument.Parse(File.ReadAllText(report).Replace("<!DOCTYPE html>", "", StringComparison.Ordinal));
        XNamespace svg = "http://www.w3.org/2000/svg", page = "http://www.w3.org/1999/xhtml";
        Assert.Equal(2, html.Descendants(svg + "rect").Count(rect => (string?)rect.Attribute("class") == "bar"));
        string text = html.Descendants(page + "body").Single().Value;
        Assert.Contains("Calibration of streaming attention", text, StringComparison.Ordinal);
        Assert.Contains("model.layers.0.self_attn.1", text, StringComparison.Ordinal);
        Assert.Contains("becomes streaming", text, StringComparison.Ordinal);
        Assert.Contains("alpha from 0.5, 1 + 1 blocks of 4, attentions 0, 1", text, StringComparison.Ordinal);

        Assert.Contains("exists", Assert.Throws<IOException>(() => calibrator.Save(folder["out"])).Message, StringComparison.Ordinal);
        calibrator.Save(folder["out"], overwrite: true);
    }

    [Fact]
    public void Texts_rows_and_models_that_are_too_short_say_so()
    {
        using var model = Model();
        List<TrainingExample> shorter = [new([1, 5, 6, 7, 8, 9, 10, 11, 2], [.. Enumerable.Repeat(true, 9)])];
        Assert.Contains("the longest of 1 has 9 tokens, the pattern's span is 8", Message(shorter, s_options), StringComparison.Ordinal);
        Assert.Contains("the validation texts are too short", Assert.Throws<FineTuningException>(() => ZigZagCalibrator.Create(model, TinyTexts(2), shorter, s_options)).Message, StringComparison.Ordinal);
        Assert.Contains("the longest of 0 has 0 tokens", Message([], s_options), StringComparison.Ordinal);
        Assert.Contains("Columns is 9, the pattern's span is 8", Message(shorter, s_options with { Columns = 9 }), StringComparison.Ordinal);
        Assert.Contains("the model's longest sequence is 128, the pattern's span is 1024", Message(shorter, s_options with { BlockSize = 128, LocalBlocks = 7 }), StringComparison.Ordinal);
        Assert.Contains("Columns is 200, the model's longest sequence is 128", Message(TinyTexts(4), s_options with { Columns = 200 }), StringComparison.Ordinal);

        // A text of ten tokens has one query behind the span, which predicts its last token.
        List<TrainingExample> enough = [new([1, 5, 6, 7, 8, 9, 10, 11, 12, 2], [.. Enumerable.Repeat(true, 10)])];
        using var calibrator = ZigZagCalibrator.Create(model, enough, null, s_options);
        Assert.Equal(1, calibrator.Counts.TrainableTokens);

        string Message(List<TrainingExample> texts, ZigZagCalibrationOptions options) => Assert.Throws<FineTuningException>(() => ZigZagCalibrator.Create(model, texts, null, options)).Message;
    }

    [Fact]
    public void Longer_texts_are_cut_to_rows_and_only_queries_behind_the_span_count()
    {
        using var model = Model();
        List<TrainingExample> texts = [new([.. Enumerable.Range(0, 57).Select(i => 3 + (i % 40))], [.. Enumerable.Repeat(true, 57)])];
        using var calibrator = ZigZagCalibrator.Create(model, texts, null, s_options with { Columns = 24 });

        // Pieces of 24, 24 and 9 tokens: targets 9..23 of the first two; the last has no query behind the span.
        Assert.Equal(2, calibrator.Counts.Train);
        Assert.Equal(30, calibrator.Counts.TrainableTokens);
        using var standard = ZigZagCalibrator.Create(Model(), texts, null, s_options with { Columns = null });
        Assert.Equal(16, standard.Columns);
    }

    [Theory]
    [InlineData("Share", 0.0)]
    [InlineData("Share", 1.01)]
    [InlineData("Share", double.NaN)]
    [InlineData("InitialAlpha", double.NaN)]
    [InlineData("InitialAlpha", double.PositiveInfinity)]
    [InlineData("LearningRate", 0.0)]
    [InlineData("LearningRate", double.NaN)]
    [InlineData("Steps", 0.0)]
    [InlineData("BlockSize", 0.0)]
    [InlineData("LocalBlocks", 0.0)]
    [InlineData("SinkBlocks", -1.0)]
    [InlineData("BatchRows", 0.0)]
    public void A_setting_that_cannot_be_is_named(string name, double value)
    {
        var options = name switch
        {
            "Share" => s_options with { Share = value },
            "InitialAlpha" => s_options with { InitialAlpha = value },
            "LearningRate" => s_options with { LearningRate = value },
            "Steps" => s_options with { Steps = (long)value },
            "BatchRows" => s_options with { BatchRows = (int)value },
            "LocalBlocks" => s_options with { LocalBlocks = (int)value },
            "SinkBlocks" => s_options with { SinkBlocks = (int)value },
            _ => s_options with { BlockSize = (int)value },
        };
        Assert.Contains(name, Assert.ThrowsAny<ArgumentException>(options.Validate).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_whose_attentions_all_have_a_window_has_nothing_to_calibrate()
    {
        using var folder = new TemporaryFolder();
        RandomDecoder.Write(folder["model"], new RandomDecoderOptions { Architecture = "MistralForCausalLM", Window = 7 });
        Assert.Contains("sliding window", Assert.Throws<ArgumentException>(() => ZigZagCalibrator.Create(folder["model"], TinyTexts(2), null, s_options)).Message, StringComparison.Ordinal);
    }

    private static List<TrainingExample> TinyTexts(int count) => TinyExamples.Make(count, length: 46).ConvertAll(example => example.Ids.Length > 12 ? example : example with
    {
        Ids = [.. example.Ids, .. Enumerable.Repeat(7, 10)],
        Trainable = [.. example.Trainable, .. Enumerable.Repeat(true, 10)],
    });

    /// <summary>A random model whose attentions weigh more than the rest, so that α matters.</summary>
    private static LongcatFlashForCausalLM Model(int? silent = null)
    {
        var model = TinyConfig.Create(seed: 2);
        using var frozen = torch.no_grad();
        foreach (var (name, value) in model.state_dict())
        {
            if (name.Contains("o_proj", StringComparison.Ordinal))
            {
                value.mul_(name.Contains($"self_attn.{silent}.", StringComparison.Ordinal) ? 0f : 4f);
            }
            else if (name.EndsWith("q_b_proj.weight", StringComparison.Ordinal) || name == "lm_head.weight")
            {
                value.mul_(3f);
            }
        }

        return model;
    }

    private sealed class Collector(List<FineTuningStep> steps) : IProgress<FineTuningStep>
    {
        public void Report(FineTuningStep value) => steps.Add(value);
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
