using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.Onnx.Tests;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

/// <summary>
/// LongCat Sparse Attention against its formulas in double precision (<see cref="DoubleReference"/>), on small random models with 8 visible keys and contexts below and above.
/// </summary>
/// <remarks>Limits as in <see cref="ParityTests"/>, for the same reasons. A choice is only the same on both sides where it is no closer than float32's rounding: the test says how close it was.</remarks>
public class SparseAttentionTests(ITestOutputHelper output)
{
    private const double Logits = 5e-5;
    private const double Hidden = 1e-4;

    private static readonly RandomCheckpointOptions[] Models =
    [
        new() { Seed = 41, Indexer = true, OverEncodingNames = true, Layers = 2, Mtp = true },
        new() { Seed = 42, Indexer = true, NGram = false, IndexHeads = 1, IndexHeadDim = 8 },
        new() { Seed = 43, Indexer = true, NGram = false, Yarn = true, MaxPositions = 64, IndexHeads = 4, IndexInitTokens = 0, IndexLocalTokens = 1 },
        new() { Seed = 44, Indexer = true, NGram = false, IndexInitTokens = 5, IndexLocalTokens = 3 },
        new() { Seed = 45, Indexer = true, OverEncodingNames = true, BFloat16 = true, IndexTopK = 13 },
    ];

    public static TheoryData<int> Seeds => [.. Models.Select(m => m.Seed)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public void The_modules_compute_what_the_formulas_say(int seed)
    {
        using TemporaryFolder folder = new();
        RandomCheckpointOptions options = Options(seed);
        using Checkpoint checkpoint = Checkpoint.Open(RandomCheckpoint.Write(folder["model"], options));
        using var model = LongcatFlashForCausalLM.Load(checkpoint);
        using var frozen = torch.no_grad();
        foreach (int length in (int[])[options.IndexTopK, options.IndexTopK + 1, 40])
        {
            using var scope = torch.NewDisposeScope();
            DoubleReference reference = new(checkpoint);
            long[] ids = Prompt(length, seed);
            var (logits, hidden) = reference.Run(ids);
            using var batch = new SequenceBatch(ids, 1, length);
            var result = model.Forward(batch);
            Close($"seed {seed}, {length} tokens, hidden", hidden, result.Hidden, Hidden);
            Close($"seed {seed}, {length} tokens, logits", logits, model.Logits(result.Hidden), Logits);
            if (options.Mtp)
            {
                var (draftLogits, _) = reference.RunDraft(batch.NextIds(), hidden);
                Close($"seed {seed}, {length} tokens, draft", draftLogits, model.Logits(model.ForwardDraft(result.Hidden, batch)), Logits);
            }

            output.WriteLine($"closest choice: {reference.ClosestChoice:E1} of the largest score");
            Assert.True(reference.ClosestChoice > 1e-5, "a choice is so close that float32 and double may differ; take another seed");
            Assert.Equal(length <= options.IndexTopK || options.IndexTopK == options.IndexInitTokens + options.IndexLocalTokens, double.IsPositiveInfinity(reference.ClosestChoice));
        }
    }

    /// <summary>Otherwise the tests above would hold for a model that ignores its indexer.</summary>
    [Fact]
    public void An_indexer_changes_what_follows_its_first_choice_and_nothing_before()
    {
        using TemporaryFolder folder = new();
        using Checkpoint checkpoint = Checkpoint.Open(RandomCheckpoint.Write(folder["model"], Options(42)));
        using Checkpoint dense = Checkpoint.Open(folder["model"], config => (LongcatFlashConfig)config with { Indexer = ((LongcatFlashConfig)config).Indexer! with { TopK = 1000 } });
        long[] ids = Prompt(20, 1);
        float[][] logits = [.. new[] { checkpoint, dense }.Select(c =>
        {
            using var model = LongcatFlashForCausalLM.Load(c);
            using var frozen = torch.no_grad();
            using var scope = torch.NewDisposeScope();
            using var batch = new SequenceBatch(ids, 1, 20);
            return Floats(model.Logits(model.Forward(batch).Hidden));
        })];

        int vocabulary = checkpoint.Config.VocabSize;
        Assert.Equal(logits[0][..(8 * vocabulary)], logits[1][..(8 * vocabulary)], (a, b) => Math.Abs(a - b) < 1e-5);
        Assert.All(Enumerable.Range(8, 12), t => Assert.Contains(Enumerable.Range(t * vocabulary, vocabulary), i => Math.Abs(logits[0][i] - logits[1][i]) > 1e-3));
    }

    [Fact]
    public void A_packed_row_gives_each_document_the_logits_it_has_alone()
    {
        using TemporaryFolder folder = new();
        RandomCheckpoint.Write(folder["model"], Options(41));
        using var model = LongcatFlashForCausalLM.Load(folder["model"]);
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        int[] lengths = [11, 1, 20, 7, 9, 16];
        long[] ids = Prompt(64, seed: 1);
        var starts = new int[64];
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            Array.Fill(starts, at % 32, at, lengths[d]);
        }

        using var packed = new SequenceBatch(ids, 2, 32, starts);
        var together = model.Logits(model.Forward(packed).Hidden);
        for (int d = 0, at = 0; d < lengths.Length; at += lengths[d++])
        {
            using var alone = new SequenceBatch(ids[at..(at + lengths[d])], 1, lengths[d]);
            Close($"document {d}", Floats(model.Logits(model.Forward(alone).Hidden)), together.narrow(0, at, lengths[d]), 2e-5);
        }
    }

    [Fact]
    public void Of_equal_scores_the_lower_position_is_chosen_and_one_that_is_no_number_last()
    {
        AttentionIndexerConfig config = new() { NumHeads = 1, HeadDim = 8, TopK = 6, InitTokens = 1, LocalTokens = 2 };
        float nan = float.NaN, inf = float.PositiveInfinity;

        Assert.Equal([0, 1, 2, 3, 4, 5], AttentionIndexer.Choose([], 5, config));
        Assert.Equal([0, 1, 2, 3, 8, 9], AttentionIndexer.Choose(new float[10], 9, config));
        Assert.Equal([0, 2, 4, 7, 8, 9], AttentionIndexer.Choose([0, 0, 5, 0, 5, 0, 0, 7, 0, 0], 9, config));
        Assert.Equal([0, 3, 5, 6, 8, 9], AttentionIndexer.Choose([inf, -1, nan, -0f, nan, 0, 0, -1, inf, inf], 9, config));
        Assert.Equal([0, 1, 2, 4, 8, 9], AttentionIndexer.Choose([0, nan, nan, nan, -inf, nan, nan, nan, 0, 0], 9, config));
        Assert.Equal([0, 1, 3, 5, 7, 8], AttentionIndexer.Choose([0, inf, -1, 3, -inf, 3, 2, 0, 0, 9], 8, config)); // what follows the query is not read
        Assert.Contains("a query at position 9 needs 10", Assert.Throws<ArgumentException>(() => AttentionIndexer.Choose(new float[9], 9, config)).Message);
    }

    /// <summary>A choice has no gradient, so an indexer is frozen: everything else gets one, with and without layers computed again.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Everything_but_the_indexer_gets_a_gradient(bool again)
    {
        using TemporaryFolder folder = new();
        RandomCheckpoint.Write(folder["model"], Options(41) with { Mtp = false, TopK = 6 });
        using var model = LongcatFlashForCausalLM.Load(folder["model"]);
        model.GradientCheckpointing = again;
        using var scope = torch.NewDisposeScope();
        using var batch = new SequenceBatch(Prompt(20, 2), 1, 20);
        model.Logits(model.Forward(batch).Hidden).square().sum().backward();

        Assert.All(model.named_parameters(), p => Assert.True(
            p.name.Contains(".indexer.", StringComparison.Ordinal) ? !p.parameter.requires_grad && p.parameter.grad is null : p.parameter.grad is not null, p.name));
    }

    [Fact]
    public void A_saved_model_has_the_published_names_and_types()
    {
        using TemporaryFolder folder = new();
        RandomCheckpoint.Write(folder["model"], Options(45) with { Mtp = true });
        using (var model = LongcatFlashForCausalLM.Load(folder["model"]))
        {
            model.Save(folder["saved"], File.ReadAllText(folder["model/config.json"]), TensorType.BFloat16);
        }

        using Checkpoint original = Checkpoint.Open(folder["model"]), saved = Checkpoint.Open(folder["saved"]);
        saved.Validate(withMtp: true);
        Assert.All(original.Tensors.Values, tensor =>
        {
            Assert.Equal(tensor.Type, saved.Entry(tensor.Name).Type);
            Assert.Equal(original.ReadFloat32(tensor.Name), saved.ReadFloat32(tensor.Name));
        });
        Assert.Equal(TensorType.Float32, saved.Entry("model.layers.0.self_attn.0.indexer.weights_proj.weight").Type);
    }

    [Fact]
    public void A_config_without_an_indexer_has_none()
    {
        Assert.Contains("index_n_heads", Assert.Throws<ArgumentException>(() => new AttentionIndexer(TinyConfig.Read())).Message);
    }

    private static RandomCheckpointOptions Options(int seed) => Models.Single(m => m.Seed == seed);

    private static long[] Prompt(int length, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(272))];
    }

    private static float[] Floats(torch.Tensor tensor) => MemoryMarshal.Cast<byte, float>(tensor.contiguous().bytes).ToArray();

    private void Close(string what, double[][] expected, torch.Tensor actual, double tolerance) => Close(what, [.. expected.SelectMany(row => row).Select(x => (float)x)], actual, tolerance);

    private void Close(string what, float[] expected, torch.Tensor actual, double tolerance)
    {
        float[] values = Floats(actual);
        Assert.Equal(expected.Length, values.Length);
        double largest = expected.Zip(values, (e, a) => Math.Abs((double)e - a)).Max();
        output.WriteLine($"{what}: largest difference {largest:E2} of {tolerance:E0} allowed; largest value {expected.Max(Math.Abs):F1}");
        Assert.True(largest <= tolerance && values.All(float.IsFinite), $"{what}: largest difference {largest:E3}, allowed {tolerance:E1}");
    }
}
