using LongCat.ML.Training.Data;

namespace LongCat.ML.Training.Tests.Pretraining;

public class PackedRowsTests
{
    private const int Columns = 32;

    [Fact]
    public void Every_token_lies_in_exactly_one_row()
    {
        var documents = Documents(200, longest: 80);
        var rows = PackedRows.Pack(documents, Columns, seed: 3);
        var packed = new List<long>();
        using var batch = rows.Batch(0, rows.Count, padding: -1);
        packed.AddRange(batch.Sequences.InputIds.Where(id => id != -1));
        Assert.Equal(documents.Documents.SelectMany(d => d).Select(id => (long)id).Order(), packed.Order());
        Assert.Equal(documents.TokenCount, batch.Tokens);
        Assert.Equal(documents.TokenCount, rows.TokenCount);
    }

    [Fact]
    public void Targets_stay_within_the_document()
    {
        var rows = PackedRows.Pack(Documents(100, longest: 20), Columns, seed: 3);
        using var batch = rows.Batch(0, rows.Count, padding: 0);
        var ids = batch.Sequences.InputIds;
        for (int i = 0; i < ids.Length; i++)
        {
            bool next = batch.Next[i] != PackedBatch.NoTarget, second = batch.Second[i] != PackedBatch.NoTarget;
            if (next)
            {
                Assert.Equal(ids[i + 1], batch.Next[i]);
                Assert.Equal(batch.Sequences.DocumentStart[i], batch.Sequences.DocumentStart[i + 1]);
            }

            if (second)
            {
                Assert.True(next);
                Assert.Equal(ids[i + 2], batch.Second[i]);
            }

            // A document's last token (2) predicts nothing, and padding (0) neither.
            Assert.False(next && ids[i] is 2 or 0);
        }
    }

    [Fact]
    public void Equal_seeds_give_equal_rows_and_epochs_differ()
    {
        var documents = Documents(100, longest: 20);
        Assert.Equal(Ids(PackedRows.Pack(documents, Columns, 3, 0)), Ids(PackedRows.Pack(documents, Columns, 3, 0)));
        Assert.NotEqual(Ids(PackedRows.Pack(documents, Columns, 3, 0)), Ids(PackedRows.Pack(documents, Columns, 3, 1)));
        Assert.NotEqual(Ids(PackedRows.Pack(documents, Columns, 3, 0)), Ids(PackedRows.Pack(documents, Columns, 4, 0)));
    }

    [Fact]
    public void Packing_wastes_little()
    {
        var documents = Documents(2000, longest: 30);
        var rows = PackedRows.Pack(documents, 256, seed: 1);
        Assert.InRange(rows.TokenCount / (double)(rows.Count * 256L), 0.97, 1.0);
    }

    [Fact]
    public void A_stream_continues_from_its_position()
    {
        var documents = Documents(60, longest: 20);
        var whole = new PackedStream(documents, Columns, 7);
        int inFirstEpoch = whole.RowsPerEpoch / 4;
        for (int i = 0; i <= inFirstEpoch; i++)
        {
            whole.Next(4, 0).Dispose();
        }

        Assert.Equal(1, whole.Epoch);
        var resumed = new PackedStream(documents, Columns, 7, whole.Epoch, whole.Row);
        using var expected = whole.Next(4, 0);
        using var actual = resumed.Next(4, 0);
        Assert.Equal(expected.Sequences.InputIds, actual.Sequences.InputIds);
    }

    internal static TokenizedDocuments Documents(int count, int longest, int vocabulary = 50)
    {
        var random = new Random(11);
        return new TokenizedDocuments([.. Enumerable.Range(0, count).Select(_ =>
        {
            var document = new int[random.Next(3, longest)];
            document[0] = 1;
            for (int i = 1; i < document.Length - 1; i++)
            {
                document[i] = i == 1 ? random.Next(3, vocabulary) : 3 + (((document[i - 1] * 7) + 5) % (vocabulary - 3));
            }

            document[^1] = 2;
            return document;
        })]);
    }

    private static long[] Ids(PackedRows rows)
    {
        using var batch = rows.Batch(0, rows.Count, 0);
        return batch.Sequences.InputIds;
    }
}
