using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Graphs of models with LongCat Sparse Attention: 8 visible keys, contexts below and above, against the formulas in double precision and against themselves in other steps.</summary>
[Collection(KernelPath.Collection)]
public sealed class SparseAttentionTests(ITestOutputHelper output) : IDisposable
{
    private static readonly RandomCheckpointOptions[] Models =
    [
        new() { Seed = 41, Indexer = true, OverEncodingNames = true, Layers = 2, Mtp = true },
        new() { Seed = 42, Indexer = true, NGram = false, IndexHeads = 1, IndexHeadDim = 8 },
        new() { Seed = 43, Indexer = true, NGram = false, Yarn = true, MaxPositions = 64, IndexHeads = 4, IndexInitTokens = 0, IndexLocalTokens = 1 },
        new() { Seed = 44, Indexer = true, NGram = false, IndexInitTokens = 5, IndexLocalTokens = 3 },
        new() { Seed = 45, Indexer = true, OverEncodingNames = true, BFloat16 = true, IndexTopK = 13 },
    ];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Kernels => [.. KernelPath.Supported];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Kernels))]
    public void The_graphs_compute_what_the_formulas_say(string kernel)
    {
        foreach (RandomCheckpointOptions options in Models)
        {
            string name = $"{options.Seed}";
            RandomCheckpoint.Write(_folder[$"in{name}"], options);
            string export = OnnxExporter.Export(_folder[$"in{name}"], _folder[$"out{name}"]).Folder;
            using Checkpoint checkpoint = Checkpoint.Open(_folder[$"in{name}"]);
            foreach (int length in (int[])[options.IndexTopK, options.IndexTopK + 1, 40])
            {
                DoubleReference reference = new(checkpoint);
                long[] prompt = Prompt(options.Seed, length);
                (double[][] logits, double[][] hidden) = reference.Run(prompt);
                using GraphRunner runner = new(export, kernel);
                RunnerResult result = runner.Run(new RunnerChunk(new RunnerSequence(), prompt));
                Compare($"{kernel} model {name}, {length} tokens, logits", Flat(logits), result.Logits, Golden.LogitsTolerance);
                Compare($"{kernel} model {name}, {length} tokens, hidden", Flat(hidden), result.Hidden, Golden.LogitsTolerance);
                if (options.Mtp)
                {
                    long[] next = [.. prompt[1..], 7];
                    (double[][] draftLogits, _) = reference.RunDraft(next, hidden);
                    using GraphRunner draft = new(export, kernel, ModelManifest.DraftFileName);
                    Compare($"{kernel} model {name}, {length} tokens, draft", Flat(draftLogits), draft.Run(new RunnerChunk(new RunnerSequence(), next, Flat(hidden))).Logits, Golden.LogitsTolerance);
                }

                Assert.True(reference.ClosestChoice > 1e-5, "a choice is so close that float32 and double may differ; take another seed");
            }
        }
    }

    /// <summary>Whole, in chunks, token by token, beside other sequences: bit for bit the same logits.</summary>
    [Theory]
    [MemberData(nameof(Kernels))]
    public void Any_cut_into_steps_gives_the_same_logits(string kernel)
    {
        string export = Export(Models[0], new ExportOptions());
        long[][] prompts = [Prompt(1, 50), Prompt(2, 9), Prompt(3, 23)];
        float[][] whole = [.. prompts.Select(prompt =>
        {
            using GraphRunner runner = new(export, kernel);
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];
        foreach (int most in (int[])[1, 5, 16])
        {
            using GraphRunner runner = new(export, kernel, inPlace: most != 5);
            RunnerSequence[] sequences = [.. prompts.Select(_ => new RunnerSequence())];
            List<float>[] got = [.. prompts.Select(_ => new List<float>())];
            while (Enumerable.Range(0, 3).Where(i => sequences[i].Length < prompts[i].Length).ToArray() is { Length: > 0 } left)
            {
                RunnerChunk[] chunks = [.. left.Select(i => new RunnerChunk(sequences[i], prompts[i].Skip(sequences[i].Length).Take(most).ToArray()))];
                float[] logits = runner.Run(chunks).Logits;
                int row = 0;
                foreach ((int i, RunnerChunk chunk) in left.Zip(chunks))
                {
                    got[i].AddRange(logits.AsSpan(row * runner.VocabSize, chunk.Tokens.Length * runner.VocabSize));
                    row += chunk.Tokens.Length;
                }
            }

            for (int i = 0; i < 3; i++)
            {
                Compare($"{kernel} prompt {i} in steps of {most}", whole[i], [.. got[i]], 2e-5);
            }
        }
    }

    /// <summary>Keys of the indexers in bfloat16, and the quantized form, whose indexers stay in floats: both choose and run.</summary>
    [Theory]
    [MemberData(nameof(Kernels))]
    public void Other_precisions_run_and_their_indexers_are_not_quantized(string kernel)
    {
        RandomCheckpointOptions options = Models[0];
        long[] prompt = Prompt(5, 30);
        string plain = Export(options, new ExportOptions());
        string narrow = OnnxExporter.Export(_folder["in"], _folder["narrow"], new ExportOptions { Precision = WeightPrecision.BF16, CacheType = CacheType.BFloat16 }).Folder;
        string packed = OnnxExporter.Export(_folder["in"], _folder["packed"], new ExportOptions { Precision = WeightPrecision.W4A8, Quantization = new QuantizationOptions { Recipe = QuantizationRecipe.RoundToNearest } }).Folder;
        ModelManifest manifest = ModelManifest.Read(plain);
        Assert.Equal([24, 24, 24, 24, 20, 20], manifest.Caches.Select(cache => cache.Width));
        Assert.Equal([24, 20], manifest.DraftCaches!.Select(cache => cache.Width));
        float[][] logits = [.. new[] { plain, narrow, packed }.Select(folder =>
        {
            using GraphRunner runner = new(folder, kernel);
            return runner.Run(new RunnerChunk(new RunnerSequence(), prompt)).Logits;
        })];

        Assert.All(logits, values => Assert.All(values, value => Assert.True(float.IsFinite(value))));
        // Below the first choice the caches' and weights' rounding is all that differs; behind it a choice may too.
        int known = options.IndexTopK * options.VocabSize;
        Compare($"{kernel} bfloat16 weights and cache", logits[0][..known], logits[1][..known], 0.15);
        GraphProto graph = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(packed, ModelManifest.ModelFileName))).Graph;
        NodeProto[] indexers = [.. graph.Node.Where(node => node.OpType == "AttentionIndexer")];
        Assert.Equal(options.Layers, indexers.Length);
        Assert.All(indexers, node => Assert.All(node.Input.Take(3), input => Assert.Equal("MatMul", graph.Node.Single(maker => maker.Output.Contains(input)).OpType)));
        // Both attentions of a layer read the one choice.
        Assert.All(indexers, node => Assert.Equal(2, graph.Node.Count(reader => reader.OpType == "LatentAttention" && reader.Input.ElementAtOrDefault(12) == node.Output[0])));
    }

    [Fact]
    public void Adapters_of_kv_b_take_their_places_before_the_choice_and_the_indexer_takes_none()
    {
        const string Module = "model.layers.0.self_attn.0.kv_b_proj";
        string folder = Export(Models[1], new ExportOptions());
        AdapterGraph graph = AdapterGraph.Read(Path.Combine(folder, ModelManifest.ModelFileName));
        GraphProto after = ModelProto.Parser.ParseFrom(graph.Insert([new AdapterSite(Module)])).Graph;
        NodeProto attention = after.Node.First(node => node.OpType == "LatentAttention");
        Assert.Equal([AdapterNames.Adapted(Module), "layers.0.attention.0.indexer.selected"], [attention.Input[10], attention.Input[12]]);
        Assert.Equal(13, attention.Input.Count);
        using Checkpoint checkpoint = Checkpoint.Open(_folder["in"]);
        Assert.DoesNotContain(AdapterTargets.AllLinear.Resolve(checkpoint.Config), module => module.Contains("indexer", StringComparison.Ordinal));
    }

    [Fact]
    public void Standard_operators_refuse_an_indexer_by_name()
    {
        RandomCheckpoint.Write(_folder["in"], Models[1]);
        CheckpointException refused = Assert.Throws<CheckpointException>(() => OnnxExporter.Export(_folder["in"], _folder["out"], new ExportOptions { Operators = OperatorSet.Standard }));
        Assert.Contains("index_n_heads is set: standard operators have no indexer", refused.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder["out"]));
    }

    private string Export(RandomCheckpointOptions options, ExportOptions export) =>
        OnnxExporter.Export(RandomCheckpoint.Write(_folder["in"], options), _folder["out"], export).Folder;

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(272))];
    }

    private static float[] Flat(double[][] rows) => [.. rows.SelectMany(row => row).Select(value => (float)value)];

    private void Compare(string what, float[] expected, float[] actual, double tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Zip(actual, (e, a) => Math.Abs((double)e - a)).Max();
        output.WriteLine($"{what}: max abs diff {largest:E2}, {largest / tolerance:P0} of the tolerance {tolerance:E0}");
        Assert.True(largest <= tolerance && actual.All(float.IsFinite), $"{what}: max abs diff {largest:E2} exceeds {tolerance:E0}");
    }
}
