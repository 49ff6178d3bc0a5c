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
    private readonly TokenizedDocuments _documents;
    private readonly List<PackedRow> _rows = [];

    private PackedRows(TokenizedDocuments documents, int columns)
    {
        _documents = documents;
        Columns = columns;
    }

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
        var packed = new PackedRows(documents, columns);
        int[] order = [.. Enumerable.Range(0, documents.Documents.Count)];
        if (seed is ulong given)
        {
            SeededShuffle.Shuffle<int>(order, given ^ ((ulong)epoch * 0xD1342543DE82EF95));
        }

        var open = new List<PackedRow>();
        foreach (int index in order)
        {
            int length = documents.Documents[index].Length;
            for (int start = 0; start < length; start += columns)
            {
                packed.Place(index, start, Math.Min(columns, length - start), open);
            }
        }

        packed._rows.AddRange(open);
        if (seed is ulong again)
        {
            // Best fit closes rows of long documents first; a second shuffle undoes that order.
            PackedRow[] rows = [.. packed._rows];
            int[] positions = [.. Enumerable.Range(0, rows.Length)];
            SeededShuffle.Shuffle<int>(positions, again ^ ((ulong)epoch * 0xA24BAED4963EE407) ^ 1);
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
    public PackedBatch Batch(int first, int count, int padding) => PackedBatch.Of(_documents, _rows.GetRange(first, count), Columns, padding);

    /// <summary>A batch of consecutive rows that is only as wide as its fullest row.</summary>
    internal PackedBatch NarrowBatch(int first, int count, int padding)
    {
        var rows = _rows.GetRange(first, count);
        return PackedBatch.Of(_documents, rows, rows.Max(row => row.Length), padding);
    }

    /// <summary>One row.</summary>
    internal PackedRow Row(int index) => _rows[index];

    private void Place(int document, int start, int length, List<PackedRow> open)
    {
        TokenCount += length;
        int best = -1;
        for (int i = 0; i < open.Count; i++)
        {
            int room = Columns - open[i].Length - length;
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

            open.Add(new PackedRow());
            best = open.Count - 1;
        }

        open[best].Add(document, start, length);
        if (open[best].Length == Columns)
        {
            _rows.Add(open[best]);
            open.RemoveAt(best);
        }
    }
}
