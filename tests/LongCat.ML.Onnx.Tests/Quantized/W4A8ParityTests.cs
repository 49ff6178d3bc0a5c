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
    // Products are exact integers. What differs is float32 around them (1e-6 of a value), the head's rows, rounded to a 65,534th of their range (1e-4 of the logits), and through the former the
    // rounding of a value that lies within 1e-6 of the middle of two levels: it tips to the next one, 1/127 of its row's largest, and moves each output by that times a weight. Rows reach 3 and
    // weights 0.4, so one tip moves a layer's output by up to 3 / 127 · 0.4 = 1e-2. A run of 24 tokens rounds some ten thousand values: in most runs none tips, in some one does.
    private const double Tolerance = 2e-2;

    private const int PromptLength = 24;

    private static readonly QuantizationOptions Nearest = new() { Recipe = QuantizationRecipe.RoundToNearest, GroupSize = 32 };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> Decoders
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string model in RandomDecoder.Models.Keys)
            {
                foreach (string kernel in KernelPath.Supported)
                {
                    cases.Add(model, kernel);
                }
            }

            return cases;
        }
    }

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
    [MemberData(nameof(Decoders))]
    public void Decoders_compute_what_their_levels_say_however_the_tokens_are_cut(string name, string kernel)
    {
        RandomDecoder.Write(_folder["in"], RandomDecoder.Models[name]);
        ExportResult export = Export(Nearest);
        long[] prompt = Prompt(1, PromptLength);
        float[] expected = Decoder(export, Nearest, prompt, out float[] exactRows);

        using GraphRunner runner = new(export.Folder, kernel);
        float[] logits = runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        Compare($"{name} {kernel}", expected, logits);

        // Rows that were not rounded would be seen: rounding them moves the logits by more than the tolerance.
        Assert.True(Largest(expected, exactRows) > Tolerance, $"rounding activations moves the logits by {Largest(expected, exactRows):E2} only");
        CutsChangeNoBit(runner, prompt, logits);
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Every_form_of_scales_and_activations_computes_what_its_levels_say(string form)
    {
        QuantizationOptions options = Options[form];
        RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = "Qwen3MoeForCausalLM", Tied = form.StartsWith("two", StringComparison.Ordinal), Seed = 31 });
        IStatisticsSource? statistics = options.NeedsStatistics ? CalibrationRun.Collect(_folder["in"], _folder["probe"], options.NeedsGram, Prompt(7, 40), Prompt(8, 40)) : null;
        ExportResult export = Export(options, statistics);
        long[] prompt = Prompt(2, PromptLength);
        float[] expected = Decoder(export, options, prompt, out _, statistics);

        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        float[] logits = runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        Compare($"decoder, {form}", expected, logits);
        CutsChangeNoBit(runner, prompt, logits);
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
        long[] prompt = Prompt(3, PromptLength);
        (double[][] logits, double[][] hidden) = reference.Run(prompt);

        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        float[] actual = runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        Compare($"LongCat, {form}", Flat(logits), actual);
        CutsChangeNoBit(runner, prompt, actual);

        (double[][] draftLogits, _) = reference.RunDraft(prompt[1..], hidden[..^1]);
        using GraphRunner draft = new(export.Folder, KernelPath.Supported[^1], ModelManifest.DraftFileName);
        Compare($"draft, {form}", Flat(draftLogits), draft.Run(new RunnerChunk(new RunnerSequence(), prompt[1..], Flat(hidden[..^1]))).Logits);
    }

    /// <summary>The golden checkpoints: trained by nobody, but of sizes and settings that another implementation chose.</summary>
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
        QuantizedModel model = new(checkpoint, export, Nearest);
        long[] prompt = [.. Prompt(4, 16).Select(token => token % checkpoint.Config.VocabSize)];
        float[] expected;
        if (fixture.StartsWith("longcat", StringComparison.Ordinal))
        {
            expected = Flat(new DoubleReference(checkpoint, model.Weights, model.Round).Run(prompt).Logits);
        }
        else
        {
            using DecoderReference reference = new(folder, model.Weights, model.Round);
            expected = reference.Run(prompt).Logits;
        }

        using GraphRunner runner = new(export.Folder, KernelPath.Supported[^1]);
        Compare(fixture, expected, runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits);
    }

    private float[] Decoder(ExportResult export, QuantizationOptions options, long[] prompt, out float[] exactRows, IStatisticsSource? statistics = null)
    {
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        QuantizedModel model = new(checkpoint, export, options, statistics);
        using DecoderReference reference = new(_folder["in"], model.Weights, model.Round);
        using DecoderReference exact = new(_folder["in"], model.Weights);
        exactRows = exact.Run(prompt).Logits;
        return reference.Run(prompt).Logits;
    }

    private ExportResult Export(QuantizationOptions options, IStatisticsSource? statistics = null) =>
        OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = options, Statistics = statistics });

    /// <summary>In pieces, and one token at a time beside another sequence: the same bits.</summary>
    private static void CutsChangeNoBit(GraphRunner runner, long[] prompt, float[] expected)
    {
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

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(272))];
    }

    private static float[] Flat(double[][] rows) => [.. rows.SelectMany(row => row.Select(value => (float)value))];

    private static double Largest(float[] expected, float[] actual) => expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();

    private void Compare(string what, float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = Largest(expected, actual);
        output.WriteLine($"{what}: max abs diff {largest:E2}, {largest / Tolerance:P0} of the tolerance {Tolerance:E0}; largest value {expected.Max(Math.Abs):F1}");
        Assert.True(largest <= Tolerance && actual.All(float.IsFinite), $"{what}: max abs diff {largest:E2} exceeds {Tolerance:E0}");
    }
}
