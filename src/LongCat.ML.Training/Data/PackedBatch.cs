using LongCat.ML.Modules;

namespace LongCat.ML.Training.Data;

/// <summary>A batch and what it should predict.</summary>
/// <param name="Sequences">The tokens; disposed with the batch.</param>
/// <param name="Next">B·S targets of the main model, <see cref="NoTarget"/> where there is none.</param>
/// <param name="Second">B·S targets of the draft head (two tokens ahead), likewise.</param>
/// <param name="Tokens">Tokens that are no padding.</param>
/// <param name="Documents">The indices of the documents in the batch, in the order of its rows.</param>
public sealed record PackedBatch(SequenceBatch Sequences, long[] Next, long[] Second, int Tokens, IReadOnlyList<int> Documents) : IDisposable
{
    /// <summary>The target of a position that no loss counts.</summary>
    public const long NoTarget = -100;

    /// <inheritdoc/>
    public void Dispose() => Sequences.Dispose();

    /// <summary>Lays rows out as a batch.</summary>
    /// <param name="documents">The documents that the rows name.</param>
    /// <param name="rows">The rows, at least one.</param>
    /// <param name="columns">Tokens per row, no less than any row holds.</param>
    /// <param name="padding">The id that fills the end of a row.</param>
    internal static PackedBatch Of(TokenizedDocuments documents, IReadOnlyList<PackedRow> rows, int columns, int padding)
    {
        var ids = new long[rows.Count * columns];
        var starts = new int[ids.Length];
        var next = new long[ids.Length];
        var second = new long[ids.Length];
        var present = new List<int>();
        Array.Fill(ids, padding);
        Array.Fill(next, NoTarget);
        Array.Fill(second, NoTarget);
        int tokens = 0;
        for (int r = 0; r < rows.Count; r++)
        {
            int at = r * columns, column = 0;
            foreach (var (index, start, length) in rows[r].Pieces)
            {
                var document = documents.Documents[index].AsSpan(start, length);
                var trainable = documents.Trainable is null ? [] : documents.Trainable[index].AsSpan(start, length);
                present.Add(index);
                for (int i = 0; i < length; i++)
                {
                    ids[at + column + i] = document[i];
                    starts[at + column + i] = column;
                    if (i + 1 < length && (trainable.IsEmpty || trainable[i + 1]))
                    {
                        next[at + column + i] = document[i + 1];
                    }

                    if (i + 2 < length && (trainable.IsEmpty || trainable[i + 2]))
                    {
                        second[at + column + i] = document[i + 2];
                    }
                }

                column += length;
            }

            tokens += column;
            Array.Fill(starts, column, at + column, columns - column);
        }

        return new PackedBatch(new SequenceBatch(ids, rows.Count, columns, starts), next, second, tokens, present);
    }
}
