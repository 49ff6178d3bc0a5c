namespace LongCat.ML.Modules;

/// <summary>
/// The hash of the n-gram embedding (LongCat-Flash-Lite, 2601.21204): table i of order n reads row
/// <c>(x_t + Σ_{δ=1}^{n-1} x_{t-δ} · (V^δ mod T_i)) mod T_i</c>, where a predecessor outside the segment counts 0.
/// </summary>
/// <remarks>
/// A segment begins at the start of a document and right after every end-of-sequence token; that token itself still sees its predecessors.
/// All arithmetic is exact in 64 bits. Immutable and thread-safe.
/// </remarks>
public sealed class NGramHash
{
    private readonly long[] _rows;
    private readonly long[] _powers;
    private readonly int _neighbors;
    private readonly int _splits;
    private readonly long _eos;

    /// <summary>Creates the hash.</summary>
    /// <param name="vocabularySize">V, the base of the hash.</param>
    /// <param name="neighbors">N, the longest n-gram: 2 or more.</param>
    /// <param name="splits">K, tables per order: 1 or more.</param>
    /// <param name="tableRows">The K·(N-1) moduli: n = 2 first, then splits; distinct within an order.</param>
    /// <param name="endOfSequence">The id after which a segment begins.</param>
    /// <exception cref="ArgumentException">A wrong number of tables, a table below one row, or two tables of one order with equal size.</exception>
    public NGramHash(long vocabularySize, int neighbors, int splits, IReadOnlyList<long> tableRows, long endOfSequence)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(vocabularySize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(neighbors, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(splits, 1);
        if (tableRows.Count != splits * (neighbors - 1))
        {
            throw new ArgumentException($"n-gram hash: {tableRows.Count} tables given, {splits} splits of orders 2..{neighbors} need {splits * (neighbors - 1)}", nameof(tableRows));
        }

        _rows = [.. tableRows];
        _neighbors = neighbors;
        _splits = splits;
        _eos = endOfSequence;
        _powers = new long[_rows.Length * neighbors];
        for (int i = 0; i < _rows.Length; i++)
        {
            if (_rows[i] < 1)
            {
                throw new ArgumentException($"n-gram hash: table {i} has {_rows[i]} rows, at least 1 is needed", nameof(tableRows));
            }

            // Tables of one order hash the same n-gram; only their moduli tell them apart.
            for (int j = i - (i % splits); j < i; j++)
            {
                if (_rows[j] == _rows[i])
                {
                    throw new ArgumentException($"n-gram hash: tables {j} and {i} of the same order both have {_rows[i]} rows; they must differ", nameof(tableRows));
                }
            }

            long power = 1;
            for (int delta = 0; delta < neighbors; delta++)
            {
                _powers[(i * neighbors) + delta] = power;
                power = (long)((Int128)power * (vocabularySize % _rows[i]) % _rows[i]);
            }
        }
    }

    /// <summary>Number of tables, K·(N-1).</summary>
    public int Tables => _rows.Length;

    /// <summary>The modulus of each table.</summary>
    public IReadOnlyList<long> TableRows => _rows;

    /// <summary>Hashes one row of tokens for every table.</summary>
    /// <param name="ids">The tokens of the row.</param>
    /// <param name="documentStart">For each token the column where its document begins; empty when the whole row is one document.</param>
    /// <param name="output">[tables, stride] row-major: table i's id of token t goes to <c>output[i * stride + offset + t]</c>.</param>
    /// <param name="stride">Distance between the tables in <paramref name="output"/>.</param>
    /// <param name="offset">Where the row begins within a table's ids.</param>
    public void Compute(ReadOnlySpan<long> ids, ReadOnlySpan<int> documentStart, Span<long> output, int stride, int offset = 0)
    {
        int segment = 0;
        for (int t = 0; t < ids.Length; t++)
        {
            if (!documentStart.IsEmpty && documentStart[t] > segment)
            {
                segment = documentStart[t];
            }

            int reach = Math.Min(_neighbors - 1, t - segment);
            for (int i = 0; i < _rows.Length; i++)
            {
                int order = 2 + (i / _splits);
                long modulus = _rows[i];
                long id = ids[t] % modulus;
                int last = Math.Min(order - 1, reach);
                for (int delta = 1; delta <= last; delta++)
                {
                    id = (id + (ids[t - delta] % modulus * _powers[(i * _neighbors) + delta] % modulus)) % modulus;
                }

                output[(i * stride) + offset + t] = id;
            }

            if (ids[t] == _eos)
            {
                segment = t + 1;
            }
        }
    }
}
