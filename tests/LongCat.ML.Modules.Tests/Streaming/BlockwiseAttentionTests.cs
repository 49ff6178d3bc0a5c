using LongCat.ML.Checkpoints;
using TorchSharp;
using Xunit.Abstractions;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.Streaming;

/// <summary>Attention in tiles beside attention with a whole matrix of scores: the same results and gradients, a fraction of the memory. Measured alone: others would change the process's memory.</summary>
[Collection(nameof(Measured))]
public sealed class BlockwiseAttentionTests(ITestOutputHelper output)
{
    private const int Columns = 90;
    private static readonly string[] Names = ["result", "gradient of queries", "of keys", "of values", "of alpha"];

    // Parts of the largest value: sums of some hundred terms in another order differ by a few roundings of 6e-8.
    private const double Limit = 2e-6;

    public static TheoryData<int, int, int?, string> Cases => new()
    {
        { 4, 4, null, "full" },
        { 4, 2, null, "full" },
        { 4, 1, 7, "window" },
        { 2, 2, null, "4/1/2" },
        { 4, 2, null, "8/0/1" },
        { 4, 2, null, "4/2/1 blended" },
        { 4, 4, null, "chosen" },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Tiles_give_what_the_whole_matrix_gives(int heads, int keyHeads, int? window, string pattern)
    {
        // Two rows of packed documents whose tiles begin within documents and see keys at different places.
        int[] starts = [.. Enumerable.Range(0, 2 * Columns).Select(i => i < Columns ? i < 70 ? 0 : 70 : i % Columns < 5 ? 0 : i % Columns < 50 ? 5 : 50)];
        using var batch = new SequenceBatch(new long[2 * Columns], 2, Columns, starts);
        batch.Prepare(new RotaryTable([1f], 1), CPU);
        StreamingAttentionConfig? streaming = !pattern.Contains('/', StringComparison.Ordinal) ? null : new StreamingAttentionConfig
        {
            BlockSize = pattern[0] - '0', SinkBlocks = pattern[2] - '0', LocalBlocks = pattern[4] - '0', AttentionLayers = [0],
        };
        bool blended = pattern.EndsWith("blended", StringComparison.Ordinal);
        using var scope = NewDisposeScope();
        torch.manual_seed(3);
        Tensor query = randn(2 * keyHeads, heads / keyHeads * Columns, 12), key = randn(2 * keyHeads, Columns, 12), value = randn(2 * keyHeads, Columns, 10), slope = randn(2 * keyHeads, heads / keyHeads * Columns, 10);
        Tensor alpha = tensor(0.3f);
        Tensor? chosen = pattern == "chosen" ? Chosen(batch) : null;
        float[][] expected = Run(long.MaxValue), actual = Run(0);
        for (int i = 0; i < expected.Length; i++)
        {
            double worst = StreamingAttentionTests.Difference(expected[i], actual[i]) / Math.Max(1, expected[i].Max(Math.Abs));
            output.WriteLine($"{Names[i]}: largest difference {worst:E2} of the largest value, limit {Limit:E0}");
            Assert.True(worst < Limit);
            Assert.Contains(expected[i], part => part != 0);
        }

        float[][] Run(long whole)
        {
            AttentionSight sight = new(TinyConfig.Read() with { NumAttentionHeads = heads, Streaming = blended ? null : streaming }, attention: 0, window) { WholeBytes = whole, TileBytes = 0 };
            Tensor q = query.detach().clone().requires_grad_(), k = key.detach().clone().requires_grad_(), v = value.detach().clone().requires_grad_(), a = alpha.detach().clone().requires_grad_();
            sight.Blend = blended ? (streaming!, () => a) : null;
            Tensor result = sight.Attend(q, k, v, batch, chosen?.clone());
            result.mul(slope).sum().backward();
            Tensor?[] all = [result, q.grad, k.grad, v.grad, blended ? a.grad : null];
            return [.. all.OfType<Tensor>().Select(StreamingAttentionTests.Values)];
        }
    }

    [Fact]
    public void A_tile_has_the_keys_that_its_queries_see_and_no_others()
    {
        StreamingAttentionConfig pattern = new() { BlockSize = 16, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0] };
        using var batch = new SequenceBatch(new long[1000], 1, 1000);
        batch.Prepare(new RotaryTable([1f], 1), CPU);
        using var scope = NewDisposeScope();
        AttentionTile[] tiles = [.. new AttentionTiles(batch, 2, null, pattern, null) { TileBytes = 0 }.All()];
        Assert.Equal((63, 1000), (tiles.Length, tiles.Sum(tile => tile.Count)));
        Assert.Equal([(0, 16), (464, 496)], tiles[30].Ranges);
        Assert.Equal([1, 1, 16, 48], tiles[30].Mask.shape);
        Assert.All(tiles, tile => Assert.True(tile.Mask.NumberOfElements <= 16 * 48));
        Assert.Equal([(0, 496)], new AttentionTiles(batch, 2, null, null, null) { TileBytes = 0 }.All().ElementAt(30).Ranges);
        Assert.Equal([(475, 496)], new AttentionTiles(batch, 2, 6, null, null) { TileBytes = 0 }.All().ElementAt(30).Ranges);
    }

    /// <summary>Two heads over 2,048 tokens: 34 MB of weights kept by a whole matrix, against queries, keys and values of 0.8 MB.</summary>
    [Fact]
    public void Nothing_that_grows_with_the_rows_square_is_kept()
    {
        if (!GradientCheckpointingTests.CanMeasure())
        {
            return;
        }

        const int Long = 2048;
        using var batch = new SequenceBatch(new long[Long], 1, Long);
        batch.Prepare(new RotaryTable([1f], 1), CPU);
        _ = batch.Mask;

        // What earlier tests left to the finalizers is freed first.
        Growth(0);
        long whole = Growth(long.MaxValue), tiles = Growth(0);
        output.WriteLine($"native memory after the forward pass: {whole / 1e6:F1} MB with a whole matrix, {tiles / 1e6:F1} MB in tiles");
        Assert.True(whole > 25e6, $"only {whole} bytes were kept; the measurement says nothing");
        Assert.InRange(tiles, long.MinValue, whole / 8);

        long Growth(long limit)
        {
            using var scope = NewDisposeScope();
            AttentionSight sight = new(TinyConfig.Read() with { NumAttentionHeads = 2 }, attention: 0) { WholeBytes = limit };
            Tensor query = randn(2, Long, 16).requires_grad_(), key = randn(2, Long, 16).requires_grad_(), value = randn(2, Long, 16).requires_grad_();
            long before = GradientCheckpointingTests.Allocated();
            Tensor result = sight.Attend(query, key, value, batch);
            long growth = GradientCheckpointingTests.Allocated() - before;
            result.sum().backward();
            return growth;
        }
    }

    /// <summary>As an indexer's mask: of the tokens before it a query sees every third, the document's first and itself.</summary>
    private static Tensor Chosen(SequenceBatch batch)
    {
        float[] mask = new float[batch.Tokens * Columns];
        for (int i = 0; i < mask.Length; i++)
        {
            int token = i / Columns, key = i % Columns, start = batch.DocumentStart[token];
            mask[i] = key >= start && key <= token % Columns && (key % 3 == 0 || key == start || key == token % Columns) ? 0 : float.NegativeInfinity;
        }

        return tensor(mask, [2, 1, Columns, Columns]);
    }
}
