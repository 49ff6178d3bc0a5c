using LongCat.ML.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>A batch's attention cut into tiles of queries, so that no matrix of all scores is needed; keys that no query of a tile sees are left out of it.</summary>
/// <param name="batch">The geometry of the rows, prepared.</param>
/// <param name="heads">Query heads.</param>
/// <param name="window">A query sees the last so many tokens, itself included, or null.</param>
/// <param name="streaming">The pattern of blocks that a query sees, or null.</param>
/// <param name="chosen">The mask [B, 1, S, S] of the keys that an indexer chose, in place of the others, or null.</param>
internal sealed class AttentionTiles(SequenceBatch batch, int heads, int? window, StreamingAttentionConfig? streaming, Tensor? chosen)
{
    private const int LeastQueries = 16;

    /// <summary>Bytes of a tile's scores, about what caches hold: softmax reads and writes them several times.</summary>
    public long TileBytes { get; init; } = 8 << 20;

    /// <summary>The mask that an indexer chose, which the backward pass needs too; null where positions say everything.</summary>
    public Tensor? Chosen => chosen;

    /// <summary>Rows of the batch.</summary>
    public int Rows => batch.Rows;

    /// <summary>Query heads.</summary>
    public int Heads => heads;

    /// <summary>Tokens of a row.</summary>
    public int Columns => batch.Columns;

    /// <summary>Whether a whole matrix of scores takes so much memory that tiles are worth their recomputation.</summary>
    public static bool AreWorthIt(SequenceBatch batch, int heads, long wholeBytes) => sizeof(float) * (long)batch.Tokens * heads * batch.Columns > wholeBytes;

    /// <summary>The same tiles with another tensor of the same mask.</summary>
    public AttentionTiles With(Tensor mask) => new(batch, heads, window, streaming, mask) { TileBytes = TileBytes };

    /// <summary>The tiles, each with a mask of the caller's dispose scope.</summary>
    public IEnumerable<AttentionTile> All()
    {
        int queries = (int)Math.Clamp(TileBytes / (sizeof(float) * (long)batch.Rows * heads * batch.Columns), LeastQueries, batch.Columns);
        for (int first = 0; first < batch.Columns; first += queries)
        {
            int count = Math.Min(queries, batch.Columns - first);
            yield return chosen is null ? Tile(first, count) : new AttentionTile(first, count, [(0, first + count)], chosen.narrow(2, first, count).narrow(3, 0, first + count));
        }
    }

    private AttentionTile Tile(int first, int count)
    {
        List<(int Query, int From, int To)> seen = [];
        for (int row = 0; row < batch.Rows; row++)
        {
            for (int query = 0; query < count; query++)
            {
                foreach ((int from, int to) in batch.Visible((row * batch.Columns) + first + query, window, streaming))
                {
                    seen.Add(((row * count) + query, from, to));
                }
            }
        }

        List<(int From, int To)> ranges = [];
        foreach ((_, int from, int to) in seen.OrderBy(range => range.From))
        {
            if (ranges.Count > 0 && from <= ranges[^1].To)
            {
                ranges[^1] = (ranges[^1].From, Math.Max(ranges[^1].To, to));
            }
            else
            {
                ranges.Add((from, to));
            }
        }

        int keys = ranges.Sum(range => range.To - range.From);
        var mask = new float[batch.Rows * count * keys];
        Array.Fill(mask, float.NegativeInfinity);
        foreach ((int query, int from, int to) in seen)
        {
            int before = 0, index = 0;
            for (; ranges[index].To <= from; index++)
            {
                before += ranges[index].To - ranges[index].From;
            }

            Array.Fill(mask, 0f, (query * keys) + before + from - ranges[index].From, to - from);
        }

        return new AttentionTile(first, count, ranges, tensor(mask, [batch.Rows, 1, count, keys], device: batch.Device));
    }
}
