namespace LongCat.ML.Training.Data;

/// <summary>
/// Epoch after epoch of packed rows, each in an order of its own. Its whole position is (epoch, row), so training resumes where it stopped.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
public sealed class PackedStream
{
    private readonly TokenizedDocuments _documents;
    private readonly ulong _seed;
    private PackedRows _rows;

    /// <summary>Creates a stream at its beginning or at a saved position.</summary>
    /// <param name="documents">The documents; at least a batch of rows.</param>
    /// <param name="columns">Tokens per row.</param>
    /// <param name="seed">Seed of the order.</param>
    /// <param name="epoch">The epoch to begin in.</param>
    /// <param name="row">The next row of this epoch.</param>
    public PackedStream(TokenizedDocuments documents, int columns, ulong seed, int epoch = 0, int row = 0)
    {
        _documents = documents;
        _seed = seed;
        _rows = PackedRows.Pack(documents, columns, seed, epoch);
        Epoch = epoch;
        Row = row;
    }

    /// <summary>The current epoch, from 0.</summary>
    public int Epoch { get; private set; }

    /// <summary>The next row of the epoch.</summary>
    public int Row { get; private set; }

    /// <summary>Rows of the current epoch.</summary>
    public int RowsPerEpoch => _rows.Count;

    /// <summary>The next batch; the few rows at an epoch's end that fill no batch are left out.</summary>
    /// <param name="rows">Rows of the batch.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    /// <returns>The batch, owned by the caller.</returns>
    /// <exception cref="InvalidOperationException">The documents do not fill one batch.</exception>
    public PackedBatch Next(int rows, int padding)
    {
        if (Row + rows > _rows.Count)
        {
            Epoch++;
            Row = 0;
            _rows = PackedRows.Pack(_documents, _rows.Columns, _seed, Epoch);
            if (rows > _rows.Count)
            {
                throw new InvalidOperationException($"the training documents fill {_rows.Count} rows of {_rows.Columns} tokens, a batch needs {rows}; use a smaller batch or more text");
            }
        }

        var batch = _rows.Batch(Row, rows, padding);
        Row += rows;
        return batch;
    }

    /// <summary>The next batch; at an epoch's end it goes on with the rows of the next one, so that no row is left out.</summary>
    /// <param name="rows">Rows of the batch.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    /// <returns>The batch, owned by the caller, as wide as its fullest row.</returns>
    public PackedBatch NextAcrossEpochs(int rows, int padding)
    {
        var taken = new List<PackedRow>(rows);
        while (taken.Count < rows)
        {
            if (Row == _rows.Count)
            {
                Epoch++;
                Row = 0;
                _rows = PackedRows.Pack(_documents, _rows.Columns, _seed, Epoch);
            }

            taken.Add(_rows.Row(Row++));
        }

        return PackedBatch.Of(_documents, taken, taken.Max(row => row.Length), padding);
    }
}
