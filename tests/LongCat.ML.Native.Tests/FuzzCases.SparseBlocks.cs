using LongCat.ML.Onnx;
using LongCat.ML.Onnx.Messages;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Native.Tests;

internal static partial class FuzzCases
{
    /// <summary>
    /// The inputs for sparse rows of an attention that sees the whole context, from input <paramref name="first"/> on. What is chosen is everything or nothing, or a set that is given: between two
    /// blocks that score alike but for rounding paths may choose differently.
    /// </summary>
    private static (Feed?[] Inputs, (string, ElementType)[] Outputs, AttributeProto[] Attributes) WithSparseBlocks(
        Random random, Feed?[] inputs, int first, int heads, int width, PagedStep step, int page, List<Spoiling> spoilings)
    {
        if (step.IsStreaming || random.Next(2) == 0)
        {
            return (inputs, [], []);
        }

        int attentions = random.Next(1, 5), attention = random.Next(attentions), block = page * random.Next(1, 4), words = Math.Max(1, ((step.Columns * page) + (32 * block) - 1) / (32 * block));
        bool given = random.Next(2) == 0;
        byte[] rows = [.. step.Lengths.SelectMany(length => Enumerable.Repeat((byte)random.Next(2), length))];
        int[] budget = [block, random.Next(3) * random.Next(40), random.Next(2) * 1000, random.Next(3), random.Next(1, 4)];
        string Named(int place, string name) => $"input {first + place} ({name})";
        spoilings.RemoveAll(spoiling => spoiling.Named is "block_table[" or "cache 1 pages of 0");
        spoilings.AddRange(
        [
            Resize("sparse_rows", step.Tokens + 1, Named(0, "sparse_rows")), Rank("sparse_rows", Named(0, "sparse_rows")), Resize("sparse_attention", 4, Named(1, "sparse_attention")),
            Rank("sparse_anchors", Named(2, "sparse_anchors")), Resize("sparse_anchors", attention, "attribute attention is"), Resize("block_means", step.Pages, width + 1, Named(3, "block_means")),
            Resize("block_means", step.Pages + 1, width, Named(3, "block_means")), Rank("block_means", Named(3, "block_means")),
        ]);
        if (given)
        {
            spoilings.Add(Rank("blocks", Named(4, "blocks")));
            spoilings.Add(Resize("blocks", words, Named(4, "blocks"), axis: 2));
        }

        if (rows.Length > 0)
        {
            spoilings.Add(Value("sparse_rows", random.Next(rows.Length), 7, "sparse_rows["));
        }

        if (rows.Contains((byte)1))
        {
            spoilings.AddRange(
            [
                Value("sparse_attention", 1, -1, "dense length -1"), Value("sparse_attention", 2, 1001, "rho 1001"), Value("sparse_attention", 3, -1, "sink blocks -1"), Value("sparse_attention", 4, 0, "local blocks 0"),
            ]);
        }

        Feed?[] all =
        [
            .. inputs, .. Enumerable.Repeat<Feed?>(null, first - inputs.Length),
            new("sparse_rows", rows, rows.Length), new("sparse_attention", budget, 5),
            new("sparse_anchors", Enumerable.Range(0, attentions).Select(_ => (byte)random.Next(2)).ToArray(), attentions),
            new("block_means", random.Floats(step.Pages * width), step.Pages, width),
            given ? new("blocks", Enumerable.Range(0, step.Sequences * heads * words).Select(_ => random.Next()).ToArray(), step.Sequences, heads, words) : null,
        ];
        return (all, [("block_means_out", ElementType.Float), ("blocks_out", ElementType.Int32)], [NodeAttribute.Int("attention", attention)]);
    }
}
