using System.Numerics;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Messages;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>
/// Graphs exported for sparse verification, as a session runs them: exact rows and budgets that cover everything have the bits of the same model without it, and sets of blocks go from
/// anchor to anchor. What a set is and what it does to an attention the kernels' own tests hold against float64.
/// </summary>
[Collection(KernelPath.Collection)]
public sealed class SparseVerificationTests : IDisposable
{
    // Pages have 4 tokens: blocks of two pages, nothing dense, a quarter of the context, one sink and one local block.
    private static readonly int[] Small = [8, 0, 250, 1, 1];

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string, CacheType> Cases
    {
        get
        {
            TheoryData<string, string, CacheType> cases = [];
            foreach (string kernel in KernelPath.Supported)
            {
                cases.Add("longcat", kernel, CacheType.Float32);
                cases.Add("longcat", kernel, CacheType.Int8);
                cases.Add("LlamaForCausalLM", kernel, CacheType.BFloat16);
                cases.Add("Qwen3MoeForCausalLM", kernel, CacheType.Float32);
            }

            return cases;
        }
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Cases))]
    public void Exact_rows_and_full_budgets_have_the_bits_of_the_plain_graph(string model, string kernel, CacheType cache)
    {
        Export(model, cache);
        using GraphRunner plain = new(_folder["plain"], kernel);
        using GraphRunner sparse = new(_folder["sparse"], kernel) { SparseAttention = [8, 0, 1000, 1, 2] };
        RunnerSequence[] a = [new(), new()], b = [new(), new()];
        Same(plain.Run(Chunks(a, 45, 30)), sparse.Run(Chunks(b, 45, 30)));
        for (int round = 0; round < 3; round++)
        {
            // One sequence verifies four tokens, the other has its next one; then the other way round.
            (int first, int second) = round % 2 == 0 ? (4, 1) : (1, 4);
            RunnerResult exact = plain.Run(Chunks(a, first, second));
            Same(exact, sparse.Run(Chunks(b, first, second, sparse: round % 2)));
        }

        sparse.SparseAttention = [8, 1000, 0, 0, 1];
        Same(plain.Run(Chunks(a, 3, 3)), sparse.Run(Chunks(b, 3, 3, sparse: 0)));

        // A small budget shows in the sparse sequence alone.
        sparse.SparseAttention = Small;
        RunnerResult whole = plain.Run(Chunks(a, 3, 2)), part = sparse.Run(Chunks(b, 3, 2, sparse: 0));
        int width = 3 * sparse.VocabSize;
        Assert.NotEqual(whole.Logits[..width], part.Logits[..width]);
        Assert.Equal(whole.Logits[width..], part.Logits[width..]);
        Assert.All(part.Logits, logit => Assert.True(float.IsFinite(logit)));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Rejected_tokens_leave_no_trace_in_means_and_choices(string model, string kernel, CacheType cache)
    {
        Export(model, cache);
        using GraphRunner straight = new(_folder["sparse"], kernel) { SparseAttention = Small };
        using GraphRunner detour = new(_folder["sparse"], kernel) { SparseAttention = Small };
        RunnerSequence a = new(), b = new();
        straight.Run(new RunnerChunk(a, Prompt(1, 38)));
        detour.Run(new RunnerChunk(b, Prompt(1, 38)));

        // Six tokens over the ends of two pages are thrown away.
        detour.Run(new RunnerChunk(b, Prompt(9, 6)) { Sparse = true });
        b.Tokens.RemoveRange(38, 6);
        b.Length -= 6;
        straight.Run(new RunnerChunk(a, Prompt(2, 10)));
        detour.Run(new RunnerChunk(b, Prompt(2, 10)));
        Same(straight.Run(new RunnerChunk(a, Prompt(3, 4)) { Sparse = true }), detour.Run(new RunnerChunk(b, Prompt(3, 4)) { Sparse = true }));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Attentions_that_are_no_anchors_take_the_set_of_the_one_before(string model, string kernel, CacheType cache)
    {
        Export(model, cache);
        bool latent = model == "longcat";
        int[] attentions = latent ? [0, 1, 2, 3] : [0, 1, 2];
        ShowBlocks(attentions);
        using GraphRunner runner = new(_folder["sparse"], kernel, "sets.onnx") { SparseAttention = Small, BlockHeads = latent ? 1 : 2 };
        foreach (int attention in attentions)
        {
            runner.Blocks.Add(attention, []);
        }

        RunnerSequence[] sequences = [new(), new()];
        runner.Run(Chunks(sequences, 120, 60));
        Assert.All(runner.Blocks.Values, sets => Assert.All(sets, word => Assert.Equal(0, word)));
        runner.Run(Chunks(sequences, 4, 1, sparse: 0));
        int[][] own = [.. runner.Blocks.OrderBy(pair => pair.Key).Select(pair => pair.Value)];
        int heads = runner.BlockHeads;
        foreach (int[] sets in own)
        {
            // ceil(floor(121 · 0.25) / 8) = 4 blocks a head, sink and local ones among them, and the one that the drafts are in.
            Assert.Equal(4 * heads, sets[..heads].Sum(word => BitOperations.PopCount((uint)word)));
            Assert.All(sets[..heads], word => Assert.True((word & 1) != 0 && (word >> 15 & 1) != 0));
            Assert.All(sets[heads..], word => Assert.Equal(0, word));
        }

        Assert.True(own.Skip(1).Any(sets => !sets.SequenceEqual(own[0])), "all attentions chose alike, so the rest of the test proves nothing");

        Rewind(sequences, 4, 1);
        runner.Anchors = [.. attentions.Select(i => (byte)(i == 2 ? 1 : 0))];
        runner.Run(Chunks(sequences, 4, 1, sparse: 0));
        Assert.Equal(own[0], runner.Blocks[0]);
        Assert.Equal(own[0], runner.Blocks[1]);
        if (latent)
        {
            Assert.Equal(runner.Blocks[2], runner.Blocks[3]);
        }
    }

    [Theory]
    [InlineData(6, "sparse_attention is block size 6")]
    [InlineData(0, "expected a multiple of the page size (4)")]
    public void A_bad_budget_fails_the_step_and_names_it(int block, string message)
    {
        Export("LlamaForCausalLM", CacheType.Float32);
        using GraphRunner runner = new(_folder["sparse"], KernelPath.Supported[0]) { SparseAttention = [block, 0, 200, 1, 1] };
        RunnerSequence sequence = new();
        runner.Run(new RunnerChunk(sequence, Prompt(1, 20)));
        Exception failed = Assert.ThrowsAny<Exception>(() => runner.Run(new RunnerChunk(sequence, Prompt(2, 2)) { Sparse = true }));
        Assert.Contains(message, failed.Message, StringComparison.Ordinal);
    }

    private static long[] Prompt(int seed, int length)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, length).Select(_ => (long)random.Next(16, 200))];
    }

    private static RunnerChunk[] Chunks(RunnerSequence[] sequences, int first, int second, int sparse = -1) =>
        [new RunnerChunk(sequences[0], Prompt(first, first)) { Sparse = sparse == 0 }, new RunnerChunk(sequences[1], Prompt(second, second)) { Sparse = sparse == 1 }];

    private static void Rewind(RunnerSequence[] sequences, params int[] tokens)
    {
        for (int i = 0; i < sequences.Length; i++)
        {
            sequences[i].Length -= tokens[i];
            sequences[i].Tokens.RemoveRange(sequences[i].Length, tokens[i]);
        }
    }

    private static void Same(RunnerResult expected, RunnerResult actual)
    {
        Assert.Equal(expected.Logits, actual.Logits);
        Assert.Equal(expected.Hidden, actual.Hidden);
    }

    /// <summary>The same model with and without.</summary>
    private void Export(string model, CacheType cache)
    {
        if (model == "longcat")
        {
            RandomCheckpoint.Write(_folder["in"], new RandomCheckpointOptions { Layers = 2 });
        }
        else
        {
            RandomDecoder.Write(_folder["in"], new RandomDecoderOptions { Architecture = model, Layers = 3 });
        }

        OnnxExporter.Export(_folder["in"], _folder["plain"], new ExportOptions { CacheType = cache });
        OnnxExporter.Export(_folder["in"], _folder["sparse"], new ExportOptions { CacheType = cache, SparseVerification = true });
    }

    /// <summary>A graph beside the model's that puts out the sets too, as calibration adds them.</summary>
    private void ShowBlocks(int[] attentions)
    {
        ModelProto model = ModelProto.Parser.ParseFrom(File.ReadAllBytes(Path.Combine(_folder["sparse"], "model.onnx")));
        model.Graph.Output.AddRange(attentions.Select(i => GraphBuilder.Describe($"sparse_blocks.{i}", TensorProto.Types.DataType.Int32, ["S", "heads", "words"])));
        using FileStream file = File.Create(Path.Combine(_folder["sparse"], "sets.onnx"));
        using Google.Protobuf.CodedOutputStream stream = new(file);
        model.WriteTo(stream);
    }
}
