using LongCat.ML.Modules;

namespace LongCat.ML.Training.Data;

/// <summary>
/// Rows of equal length in which whole documents lie one after another; what is left of a row is padding, a document of its own that no loss counts.
/// </summary>
/// <remarks>
/// Packing is best fit over a few open rows, in an order shuffled by (seed, epoch), so the same seed gives the same rows on every machine.
/// A document longer than a row is cut into pieces of a row's length, each a document of its own.
/// </remarks>
public sealed class PackedRows
{
    private const int OpenRows = 64;
    private readonly List<Row> _rows = [];

    private PackedRows(int columns) => Columns = columns;

    /// <summary>Tokens per row.</summary>
    public int Columns { get; }

    /// <summary>Rows.</summary>
    public int Count => _rows.Count;

    /// <summary>Tokens that are no padding.</summary>
    public long TokenCount { get; private set; }

    /// <summary>Packs all documents once.</summary>
    /// <param name="documents">The documents.</param>
    /// <param name="columns">Tokens per row, 2 or more.</param>
    /// <param name="seed">Seed of the order; null keeps the order given.</param>
    /// <param name="epoch">The epoch, which also enters the order.</param>
    /// <returns>The rows.</returns>
    public static PackedRows Pack(TokenizedDocuments documents, int columns, ulong? seed, int epoch = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 2);
        var packed = new PackedRows(columns);
        int[] order = [.. Enumerable.Range(0, documents.Documents.Count)];
        if (seed is ulong given)
        {
            Shuffle(order, given ^ ((ulong)epoch * 0xD1342543DE82EF95));
        }

        var open = new List<Row>();
        foreach (int index in order)
        {
            int[] document = documents.Documents[index];
            for (int start = 0; start < document.Length; start += columns)
            {
                packed.Place(document.AsSpan(start, Math.Min(columns, document.Length - start)), open);
            }
        }

        packed._rows.AddRange(open);
        if (seed is ulong again)
        {
            // Best fit closes rows of long documents first; a second shuffle undoes that order.
            Row[] rows = [.. packed._rows];
            int[] positions = [.. Enumerable.Range(0, rows.Length)];
            Shuffle(positions, again ^ ((ulong)epoch * 0xA24BAED4963EE407) ^ 1);
            for (int i = 0; i < rows.Length; i++)
            {
                packed._rows[i] = rows[positions[i]];
            }
        }

        return packed;
    }

    /// <summary>A batch of consecutive rows with the targets of the next token and the one after it.</summary>
    /// <param name="first">The first row.</param>
    /// <param name="count">Rows; the range must lie within <see cref="Count"/>.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    /// <returns>The batch, owned by the caller, and the targets (-100 where there is none: across documents and in padding).</returns>
    public PackedBatch Batch(int first, int count, int padding)
    {
        var ids = new long[count * Columns];
        var starts = new int[ids.Length];
        var next = new long[ids.Length];
        var second = new long[ids.Length];
        Array.Fill(ids, padding);
        Array.Fill(next, PackedBatch.NoTarget);
        Array.Fill(second, PackedBatch.NoTarget);
        int tokens = 0;
        for (int r = 0; r < count; r++)
        {
            int at = r * Columns, column = 0;
            foreach (int[] document in _rows[first + r].Documents)
            {
                for (int i = 0; i < document.Length; i++)
                {
                    ids[at + column + i] = document[i];
                    starts[at + column + i] = column;
                    if (i + 1 < document.Length)
                    {
                        next[at + column + i] = document[i + 1];
                    }

                    if (i + 2 < document.Length)
                    {
                        second[at + column + i] = document[i + 2];
                    }
                }

                column += document.Length;
            }

            tokens += column;
            Array.Fill(starts, column, at + column, Columns - column);
        }

        return new PackedBatch(new SequenceBatch(ids, count, Columns, starts), next, second, tokens);
    }

    private void Place(ReadOnlySpan<int> document, List<Row> open)
    {
        TokenCount += document.Length;
        int best = -1;
        for (int i = 0; i < open.Count; i++)
        {
            int room = Columns - open[i].Length - document.Length;
            if (room >= 0 && (best < 0 || open[i].Length > open[best].Length))
            {
                best = i;
            }
        }

        if (best < 0)
        {
            if (open.Count == OpenRows)
            {
                int fullest = 0;
                for (int i = 1; i < open.Count; i++)
                {
                    fullest = open[i].Length > open[fullest].Length ? i : fullest;
                }

                _rows.Add(open[fullest]);
                open.RemoveAt(fullest);
            }

            open.Add(new Row());
            best = open.Count - 1;
        }

        open[best].Documents.Add(document.ToArray());
        open[best].Length += document.Length;
        if (open[best].Length == Columns)
        {
            _rows.Add(open[best]);
            open.RemoveAt(best);
        }
    }

    /// <summary>Fisher–Yates over SplitMix64.</summary>
    private static void Shuffle(int[] values, ulong state)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            state += 0x9E3779B97F4A7C15;
            ulong z = state;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            int j = (int)(((UInt128)(z ^ (z >> 31)) * (ulong)(i + 1)) >> 64);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    private sealed class Row
    {
        public List<int[]> Documents { get; } = [];

        public int Length { get; set; }
    }
}
