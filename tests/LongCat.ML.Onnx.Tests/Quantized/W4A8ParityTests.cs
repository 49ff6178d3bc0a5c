using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// W4A8 exports against floating point in double precision with the same levels multiplied out and the same rounding of activations: every family, every form of scale, in whatever pieces
/// the tokens come. None of the sizes is a multiple of the group.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class W4A8ParityTests(ITestOutputHelper output) : IDisposable
{
    // Products are exact integers. What differs is float32 around them, about 1e-6 of a value, and the head's rows, rounded to a 65,534th of their range: 3e-5 of the largest logit.
    private const double Tolerance = 1e-4;

    // A value that lies within 1e-6 of the middle of two levels may tip to the other one in one of the two computations, 1/127 of its row's largest: with rows up to 3 and weights up to 0.4 that
    // moves a layer's outputs by up to 1e-2, and the logits by a few hundredths. A prompt of four tokens rounds about two thousand values, so that one in some hundred prompts has a tip.
    // Most of the prompts must therefore agree to the tolerance, and all of them to what a tip can do.
    private const double TipTolerance = 3e-2;

    private const int Prompts = 6, MostTips = 2;

    private const int PromptLength = 24;

    private static readonly QuantizationOptions Nearest = new() { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Forms => [.. Options.Keys];

    private static Dictionary<string, QuantizationOptions> Options { get; } = new()
    {
        ["two levels, group 64"] = Nearest with { GroupSize = 64 },
        ["two levels of 4 bits"] = Nearest with { Scaling = WeightScaling.TwoLevelNarrow },
        ["integer scale"] = new() { Recipe = QuantizationRecipe.IntegerScale, GroupSize = 32 },
        ["per channel"] = Nearest with { GroupSize = 0, Scaling = WeightScaling.PerChannel },
        ["static activations"] = Nearest with { Activations = ActivationScheme.Static },
        ["FPTQ"] = new() { Recipe = QuantizationRecipe.Fptq, GroupSize = 32, StaticThreshold = 1, DynamicThreshold = 4 },
        ["LongCat"] = new() { GroupSize = 32 },
        ["head in its own precision"] = Nearest with { Head = HeadPrecision.Own },
        ["experts in their own precision"] = Nearest with { Experts = false },
        ["tables in 8 bits"] = Nearest with { NGramTables = TablePrecision.Int8 },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(DecoderParityTests.Cases), MemberType = typeof(DecoderParityTests))]
    public void Decoders_compute_what_their_levels_say_however_the_tokens_are_cut(string name, string kernel)
    {
        RandomDecoder.Write(_folder["in"], RandomDecoder.Models[name]);
        ExportResult export = Export(Nearest);
        long[][] prompts = ShortPrompts(1);
        float[][] expected = Decoder(_folder["in"], export, Nearest, prompts, null, out float[][] unrounded);

        using GraphRunner runner = new(export.Folder, kernel);
        Compare($"{name} {kernel}", expected, Run(runner, prompts));

        // Rows that were not rounded would be seen in every prompt.
        Assert.All(expected.Zip(unrounded), pair => Assert.True(Difference(pair.First, pair.Second) > 5 * Tolerance, $"rounding activations moves the logits by {Difference(pair.First, pair.Second):E2} only"));
        CutsChangeNoBit(runner);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Every_form_of_scales_and_activations_computes_what_its_levels_say(string form)
    {
        QuantizationOptions options = Options[form];
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = "Qwen3MoeForCausalLM", Tied = form.StartsWith("two", StringComparison.Ordinal), Seed = 31 });
        IStatisticsSource? statistics = options.NeedsStatistics ? CalibrationRun.Collect(_folder["in"], _folder["probe"], options.NeedsGram, Prompt(7, 40), Prompt(8, 40)) : null;
        ExportResult export = Export(options, statistics);
        long[][] prompts = ShortPrompts(2);
        float[][] expected = Decoder(_folder["in"], export, options, prompts, statistics, out _);

        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        Compare($"decoder, {form}", expected, Run(runner, prompts));
        CutsChangeNoBit(runner);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void LongCat_and_its_draft_head_compute_what_their_levels_say(string form)
    {
        QuantizationOptions options = Options[form];
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Seed = 32, Layers = 2, Mtp = true, BFloat16 = form == "LongCat" });
        IStatisticsSource? statistics = options.NeedsStatistics ? CalibrationRun.Collect(_folder["in"], _folder["probe"], options.NeedsGram, Prompt(9, 40), Prompt(10, 40)) : null;
        ExportResult export = Export(options, statistics);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        QuantizedModel model = new(checkpoint, export, options, statistics);
        DoubleReference reference = new(checkpoint, model.Weights, model.Round);
        long[][] prompts = ShortPrompts(3);
        (double[][] Logits, double[][] Hidden)[] expected = [.. prompts.Select(reference.Run)];

        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        Compare($"LongCat, {form}", [.. expected.Select(e => Flat(e.Logits))], Run(runner, prompts));
        CutsChangeNoBit(runner);

        float[][] drafts = [.. prompts.Zip(expected, (prompt, main) => Flat(reference.RunDraft(prompt[1..], main.Hidden[..^1]).Logits))];
        using GraphRunner draft = new(export.Folder, KernelPath.Supported[^1], ModelManifest.DraftFileName);
        Compare(
            $"draft, {form}",
            drafts,
            [.. prompts.Zip(expected, (prompt, main) => draft.Run(new RunnerChunk(new RunnerSequence(), prompt[1..], Flat(main.Hidden[..^1]))).Logits)]);
    }

    /// <summary>The golden checkpoints: sizes and settings that another implementation chose.</summary>
    [GoldenTheory]
    [InlineData("llama")]
    [InlineData("qwen3")]
    [InlineData("qwen3-moe")]
    [InlineData("mixtral")]
    [InlineData("longcat-flash")]
    [InlineData("longcat-lite")]
    public void The_golden_checkpoints_compute_what_their_levels_say(string fixture)
    {
        string folder = GoldenFixtures.Path(fixture);
        ExportResult export = OnnxExporter.Export(folder, _folder["out"], new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = Nearest });
        using Checkpoint checkpoint = Checkpoint.Open(folder);
        long[][] prompts = [.. ShortPrompts(4).Select(prompt => prompt.Select(token => token % checkpoint.Config.VocabSize).ToArray())];
        float[][] expected;
        if (fixture.StartsWith("longcat", StringComparison.Ordinal))
        {
            QuantizedModel model = new(checkpoint, export, Nearest);
            DoubleReference reference = new(checkpoint, model.Weights, model.Round);
            expected = [.. prompts.Select(prompt => Flat(reference.Run(prompt).Logits))];
        }
        else
        {
            expected = Decoder(folder, export, Nearest, prompts, null, out _);
        }

        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        Compare(fixture, expected, Run(runner, prompts));
    }

    private static float[][] Decoder(string folder, ExportResult export, QuantizationOptions options, long[][] prompts, IStatisticsSource? statistics, out float[][] unrounded)
    {
        using Checkpoint checkpoint = Checkpoint.Open(folder);
        QuantizedModel model = new(checkpoint, export, options, statistics);
        using DecoderReference reference = new(folder, model.Weights, model.Round);
        using DecoderReference exact = new(folder, model.Weights);
        unrounded = [.. prompts.Select(prompt => exact.Run(prompt).Logits)];
        return [.. prompts.Select(prompt => reference.Run(prompt).Logits)];
    }

    /// <summary>All prompts in one step.</summary>
    private static float[][] Run(GraphRunner runner, long[][] prompts)
    {
        float[] logits = runner.Run([.. prompts.Select(prompt => new RunnerChunk(new RunnerSequence(), prompt))]).Logits;
        return [.. logits.Chunk(logits.Length / prompts.Length)];
    }

    private ExportResult Export(QuantizationOptions options, IStatisticsSource? statistics = null) =>
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = options, Statistics = statistics });

    /// <summary>In pieces, and one token at a time beside another sequence: the same bits.</summary>
    private static void CutsChangeNoBit(GraphRunner runner)
    {
        long[] prompt = Prompt(5, PromptLength);
        float[] expected = runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        RunnerSequence chunked = new(), single = new(), other = new();
        List<float> pieces = [], tokens = [];
        foreach (int length in (int[])[7, 1, 5, prompt.Length - 13])
        {
            pieces.AddRange(runner.Run(new RunnerChunk(chunked, prompt.AsSpan(chunked.Length, length).ToArray())).Logits);
        }

        while (single.Length < prompt.Length)
        {
            float[] step = runner.Run(new RunnerChunk(other, Prompt(other.Length, 2)), new RunnerChunk(single, [prompt[single.Length]])).Logits;
            tokens.AddRange(step.AsSpan(2 * runner.VocabSize));
        }

        Assert.Equal(expected, pieces);
        Assert.Equal(expected, tokens);
    }

    private static long[][] ShortPrompts(int seed) => [.. Enumerable.Range(0, Prompts).Select(i => Prompt((100 * seed) + i, 4))];

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(272))];
    }

    private static float[] Flat(double[][] rows) => [.. rows.SelectMany(row => row.Select(value => (float)value))];

    /// <summary>The largest difference, as a share of the largest logit.</summary>
    private static double Difference(float[] expected, float[] actual) => expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max() / expected.Max(Math.Abs);

    private void Compare(string what, float[][] expected, float[][] actual)
    {
        double[] differences = [.. expected.Zip(actual, Difference).Order()];
        int tips = differences.Count(difference => !(difference <= Tolerance));
        output.WriteLine($"{what}: differences {string.Join(", ", differences.Select(d => $"{d:E1}"))} of the largest logit, tolerance {Tolerance:E0}, for at most {MostTips} prompts {TipTolerance:E0}");
        Assert.True(tips <= MostTips && differences[^1] <= TipTolerance && actual.All(logits => logits.All(float.IsFinite)), $"{what}: {string.Join(", ", differences.Select(d => $"{d:E1}"))}");
        Assert.Equal(expected.Select(logits => logits.Length), actual.Select(logits => logits.Length));
    }
}
