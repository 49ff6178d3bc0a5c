using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Properties that hold of any model, on small random checkpoints, so that they are checked where the golden fixtures are absent:
/// however tokens are cut into steps and mixed with other sequences, every token's logits are the same.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class RandomParityTests : IDisposable
{
    // Both sides run the same kernels on the same weights and differ in the order of a few float32 additions only; logits reach about 4.
    private const double SameModelTolerance = 2e-5;

    private readonly TemporaryFolder _folder = new();
    private readonly ITestOutputHelper _output;

    public RandomParityTests(ITestOutputHelper output) => _output = output;

    public static TheoryData<string, int> Seeds
    {
        get
        {
            TheoryData<string, int> cases = [];
            foreach (string kernel in KernelPath.Supported)
            {
                for (int seed = 1; seed <= 4; seed++)
                {
                    cases.Add(kernel, seed);
                }
            }

            return cases;
        }
    }

    public static TheoryData<string> Kernels => [.. KernelPath.Supported];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Any_cut_into_steps_gives_the_same_logits(string kernel, int seed)
    {
        Random random = new(seed);
        string model = Export(new RandomCheckpointOptions { Seed = seed, NGram = seed % 4 != 0, Yarn = seed % 2 == 0, Layers = 1 + (seed % 2) });
        long[][] prompts = [.. Enumerable.Range(0, 3).Select(_ => Prompt(random, random.Next(5, 40)))];
        using GraphRunner runner = new(model, kernel);
        float[][] expected = [.. prompts.Select(prompt => runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits)];

        List<float>[] actual = [.. prompts.Select(_ => new List<float>())];
        RunnerSequence[] sequences = [.. prompts.Select(_ => new RunnerSequence())];
        while (Enumerable.Range(0, 3).Any(i => sequences[i].Length < prompts[i].Length))
        {
            // A random set of the unfinished sequences, in a random order, each with a random number of tokens (none is allowed too).
            List<(int Index, RunnerChunk Chunk)> step = [];
            foreach (int i in Enumerable.Range(0, 3).OrderBy(_ => random.Next()))
            {
                int left = prompts[i].Length - sequences[i].Length;
                int count = Math.Min(left, random.Next(0, 9));
                if (left > 0 && random.Next(4) > 0)
                {
                    step.Add((i, new RunnerChunk(sequences[i], prompts[i].AsSpan(sequences[i].Length, count).ToArray())));
                }
            }

            if (step.Sum(x => x.Chunk.Tokens.Length) == 0)
            {
                continue;
            }

            float[] logits = runner.Run([.. step.Select(x => x.Chunk)]).Logits;
            int row = 0;
            foreach ((int index, RunnerChunk chunk) in step)
            {
                actual[index].AddRange(logits.AsSpan(row * runner.VocabSize, chunk.Tokens.Length * runner.VocabSize));
                row += chunk.Tokens.Length;
            }
        }

        for (int i = 0; i < 3; i++)
        {
            Compare($"{kernel} seed {seed} prompt {i}", expected[i], [.. actual[i]], SameModelTolerance);
        }
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void The_graphs_compute_what_the_formulas_say(string kernel)
    {
        RandomCheckpointOptions[] models =
        [
            new() { Seed = 21, Layers = 2, Mtp = true },
            new() { Seed = 22, NGram = false, Experts = 5, ZeroExperts = 4, TopK = 4 },
            new() { Seed = 23, Yarn = true, Mtp = true, MaxPositions = 64 },
            new() { Seed = 24, Yarn = true, UnequalMScale = true, NGram = false, MaxPositions = 64 },
            new() { Seed = 25, DropZeroExperts = true, NeighborNum = 3, SplitNum = 4 },
            new() { Seed = 26, BFloat16 = true, Heads = 3, LatentRank = 24, HeadDim = 20, RopeDim = 10 },
        ];
        foreach (RandomCheckpointOptions options in models)
        {
            string name = $"{options.Seed}";
            RandomCheckpoint.Write(_folder[$"in{name}"], options);
            string export = OnnxExporter.Export(_folder[$"in{name}"], _folder[$"out{name}"]).Folder;
            using Checkpoint checkpoint = Checkpoint.Open(_folder[$"in{name}"]);
            DoubleReference reference = new(checkpoint);
            long[] prompt = Prompt(new Random(options.Seed), 40);
            (double[][] logits, double[][] hidden) = reference.Run(prompt);

            using GraphRunner runner = new(export, kernel);
            RunnerResult result = runner.Run(new RunnerChunk(new RunnerSequence(), prompt));
            Compare($"{kernel} model {name} logits", Flat(logits), result.Logits, Golden.LogitsTolerance);
            Compare($"{kernel} model {name} hidden", Flat(hidden), result.Hidden, Golden.HiddenTolerance);
            if (options.Mtp)
            {
                (double[][] draftLogits, _) = reference.RunDraft(prompt[1..], hidden[..^1]);
                using GraphRunner draft = new(export, kernel, ModelManifest.DraftFileName);
                RunnerResult drafted = draft.Run(new RunnerChunk(new RunnerSequence(), prompt[1..], Flat(hidden[..^1])));
                Compare($"{kernel} draft {name} logits", Flat(draftLogits), drafted.Logits, Golden.DraftTolerance);
            }
        }

        static float[] Flat(double[][] rows) => [.. rows.SelectMany(row => row.Select(value => (float)value))];
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_bfloat16_checkpoint_gives_the_same_in_either_precision(string kernel)
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { BFloat16 = true });
        long[] prompt = Prompt(new Random(5), 30);
        float[][] logits = [.. new[] { WeightPrecision.F32, WeightPrecision.BF16 }.Select(precision =>
        {
            using GraphRunner runner = new(OnnxExporter.Export(_folder["in"], _folder[$"{precision}"], new ExportOptions { Precision = precision }).Folder, kernel);
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];

        Compare($"{kernel} f32 against bf16", logits[0], logits[1], SameModelTolerance);
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void A_bfloat16_cache_moves_the_logits_a_little(string kernel)
    {
        RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2, Mtp = true });
        long[] prompt = Prompt(new Random(6), 30);
        float[][] logits = [.. new[] { CacheType.Float32, CacheType.BFloat16 }.Select(type =>
        {
            using GraphRunner runner = new(OnnxExporter.Export(_folder["in"], _folder[$"{type}"], new ExportOptions { CacheType = type }).Folder, kernel);
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];

        // bfloat16 keeps 8 bits: a relative error of up to 1/256 in each cached value.
        Compare($"{kernel} float32 against bfloat16 cache", logits[0], logits[1], 0.1);
        Assert.NotEqual(logits[0], logits[1]);
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void Logits_come_for_the_rows_asked_for_in_any_order_and_number(string kernel)
    {
        using GraphRunner runner = new(Export(new RandomCheckpointOptions()), kernel);
        long[] prompt = Prompt(new Random(9), 10);
        RunnerResult all = runner.Run(new RunnerChunk(new RunnerSequence(), prompt));
        foreach (long[] index in (long[][])[[], [9], [7, 2, 2, 0]])
        {
            RunnerResult some = runner.RunFor(index, new RunnerChunk(new RunnerSequence(), prompt));

            Assert.Equal(index.Length * runner.VocabSize, some.Logits.Length);
            if (index.Length > 0)
            {
                float[] expected = [.. index.SelectMany(row => all.Logits.AsSpan((int)row * runner.VocabSize, runner.VocabSize).ToArray())];
                Compare($"{kernel} rows {string.Join(' ', index)}", expected, some.Logits, SameModelTolerance);
            }

            Compare($"{kernel} hidden beside {index.Length} rows of logits", all.Hidden, some.Hidden, SameModelTolerance);
        }
    }

    [Fact]
    public void The_other_spelling_of_the_ngram_tensors_gives_the_same_model()
    {
        long[] prompt = Prompt(new Random(10), 20);
        float[][] logits = [.. new[] { false, true }.Select(over =>
        {
            RandomCheckpoint.Write(_folder[$"in-{over}"], new RandomCheckpointOptions { OverEncodingNames = over });
            using GraphRunner runner = new(OnnxExporter.Export(_folder[$"in-{over}"], _folder[$"out-{over}"]).Folder, "reference");
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];

        Assert.Equal(logits[0], logits[1]);
    }

    [Theory]
    [MemberData(nameof(Kernels))]
    public void The_draft_head_runs_chained_on_its_own_hidden_state(string kernel)
    {
        string model = Export(new RandomCheckpointOptions { Mtp = true });
        using GraphRunner main = new(model, kernel);
        using GraphRunner draft = new(model, kernel, ModelManifest.DraftFileName);
        long[] prompt = Prompt(new Random(8), 12);
        float[] hidden = main.Run(new RunnerChunk(new RunnerSequence(), prompt)).Hidden;

        RunnerSequence sequence = new();
        RunnerResult first = draft.Run(new RunnerChunk(sequence, [.. prompt[1..], 20], hidden));
        RunnerResult second = draft.Run(new RunnerChunk(sequence, [21], first.Hidden[^draft.HiddenSize..]));

        Assert.All(second.Logits, value => Assert.True(float.IsFinite(value)));
        Assert.Equal(draft.VocabSize, second.Logits.Length);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(272)]
    public void A_token_outside_the_vocabulary_fails_the_step_and_names_it(long token)
    {
        using GraphRunner runner = new(Export(new RandomCheckpointOptions()), "reference");

        Exception refused = Assert.ThrowsAny<Exception>(() => runner.Run(new RunnerChunk(new RunnerSequence(), [5, token])));

        Assert.Contains($"{token}", refused.Message, StringComparison.Ordinal);
        Assert.Contains("271", refused.Message, StringComparison.Ordinal);
    }

    private string Export(RandomCheckpointOptions options) =>
        OnnxExporter.Export(RandomCheckpoint.Write(_folder["in"], options), _folder["out"]).Folder;

    /// <summary>Random ids with an end-of-sequence token now and then, because it cuts n-grams.</summary>
    private static long[] Prompt(Random random, int length) =>
        [.. Enumerable.Range(0, length).Select(_ => random.Next(6) == 0 ? RandomCheckpoint.EosTokenId : (long)random.Next(272))];

    private void Compare(string what, float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();
        _output.WriteLine($"{what}: max abs diff {largest:E2}, {largest / tolerance:P0} of the tolerance {tolerance:E0}; largest logit {expected.Max():F1}");
        Assert.True(largest <= tolerance && actual.All(float.IsFinite), $"{what}: max abs diff {largest:E2} exceeds {tolerance:E0}");
    }
}
