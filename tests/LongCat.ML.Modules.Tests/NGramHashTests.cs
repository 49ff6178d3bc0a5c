using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

public class NGramHashTests(ITestOutputHelper output)
{
    private static readonly NGramHash s_lite = Hash(131072, 78, 4, 4);

    [Fact]
    public void Known_values_of_the_published_sizes()
    {
        long[] ids = Compute(s_lite, [11, 523, 9001, 44, 130000, 7, 88, 4]);
        Assert.All(At(s_lite, ids, 8, 0), id => Assert.Equal(11, id));
        Assert.All(At(s_lite, ids, 8, 1), id => Assert.Equal(1442315, id));
        Assert.Equal([7217955, 7217943, 7217931, 7217919, 2070806, 2033824, 1996842, 1959860, 1922878, 1885896, 1848914, 1811932], At(s_lite, ids, 8, 2));
        Assert.Equal([4063161, 4062931, 4062701, 4062471, 1919723, 161785, 8627476, 6869540, 2464544, 1113526, 9988041, 8640817], At(s_lite, ids, 8, 3));
        Assert.Equal([1310723, 1310721, 1310719, 1310717, 10117753, 10094227, 10070701, 10047175, 9045423, 867998, 4872324, 611117], At(s_lite, ids, 8, 7));
    }

    [Fact]
    public void A_segment_ends_with_end_of_sequence_which_sees_its_predecessors()
    {
        long[] ids = Compute(s_lite, [11, 523, 2, 44, 130000, 7, 88, 4]);
        Assert.Equal([7208956, 7208944, 7208932, 7208920, 2061807, 2024825, 1987843, 1950861, 1913879, 1876897, 1839915, 1802933], At(s_lite, ids, 8, 2));
        Assert.All(At(s_lite, ids, 8, 3), id => Assert.Equal(44, id));
        Assert.All(At(s_lite, ids, 8, 4), id => Assert.Equal(5897168, id));
        Assert.Equal([6814085, 6810753, 6807421, 6804089, 6659603, 6508395, 6357187, 6205979, 6054771, 5903563, 5752355, 5601147], At(s_lite, ids, 8, 5));
    }

    [Fact]
    public void Segments_at_the_edges()
    {
        long[] ids = Compute(s_lite, [2, 5, 2, 2, 9, 13, 21, 2]);
        long[] single = [2, 5, 655362, 2, 9, 1179661];
        for (int t = 0; t < single.Length; t++)
        {
            Assert.All(At(s_lite, ids, 8, t), id => Assert.Equal(single[t], id));
        }

        Assert.Equal([2752514, 2752514, 2752514, 2752514, 5963781, 5920091, 5876401, 5832711, 5482087, 7630173, 9779811, 1707362], At(s_lite, ids, 8, 7));
    }

    [Fact]
    public void Known_values_of_other_sizes()
    {
        var toy = Hash(64, 3, 3, 2);
        long[] ids = Compute(toy, [5, 9, 2, 31, 17, 0, 63, 8]);
        long[][] expected = [[5, 5, 5, 5], [136, 134, 132, 130], [192, 188, 176, 163], [31, 31, 31, 31], [71, 51, 31, 11], [123, 113, 14, 107], [63, 63, 154, 45], [180, 140, 100, 60]];
        for (int t = 0; t < 8; t++)
        {
            Assert.Equal(expected[t], At(toy, ids, 8, t));
        }

        var two = Hash(163840, 100.567, 5, 4);
        Assert.Equal(
            [7338960, 7338960, 7338960, 7338960, 11163550, 14789196, 1937940, 5563600, 7111964, 11941988, 362882, 5328480, 2403476, 3727732, 8009124, 15247568],
            At(two, Compute(two, [11, 523, 9001, 44, 130000]), 5, 4));
        Assert.Equal(
            [918738, 918738, 918738, 918738, 1533770, 1204410, 875050, 545690, 8884758, 8925606, 9037462, 9220326],
            At(s_lite, Compute(s_lite, [412, 98, 7, 1234]), 4, 3));
    }

    [Fact]
    public void A_document_start_hides_what_is_before_it()
    {
        long[] packed = new long[s_lite.Tables * 6];
        s_lite.Compute([11, 523, 9001, 44, 7, 88], [0, 0, 2, 2, 4, 4], packed, 6);
        long[] alone = new long[s_lite.Tables * 2];
        s_lite.Compute([9001, 44], [], alone, 2);
        Assert.Equal(At(s_lite, alone, 2, 1), At(s_lite, packed, 6, 3));
        Assert.All(At(s_lite, packed, 6, 4), id => Assert.Equal(7, id));
    }

    [Fact]
    public void Tables_of_one_order_must_differ()
    {
        var e = Assert.Throws<ArgumentException>(() => new NGramHash(64, 3, 2, [193, 193, 197, 199], 2));
        Assert.Contains("must differ", e.Message, StringComparison.Ordinal);
    }

    [GoldenTheory]
    [InlineData("lite", 131072, 78, 4, 4)]
    [InlineData("two", 163840, 100.567, 5, 4)]
    [InlineData("toy", 64, 3, 3, 2)]
    public void Golden_ids_are_exact(string name, int vocabulary, double ratio, int neighbors, int splits)
    {
        using var golden = new Golden(output, "ngram-ids");
        var hash = Hash(vocabulary, ratio, neighbors, splits);
        Assert.Equal(golden.Int64(name + ".table_rows"), hash.TableRows);
        int[] shape = golden.Shape(name + ".tokens");
        long[] tokens = golden.Int64(name + ".tokens"), expected = golden.Int64(name + ".ids");
        for (int b = 0; b < shape[0]; b++)
        {
            long[] ids = Compute(hash, tokens[(b * shape[1])..((b + 1) * shape[1])]);
            for (int t = 0; t < shape[1]; t++)
            {
                Assert.Equal(expected.AsSpan(((b * shape[1]) + t) * hash.Tables, hash.Tables).ToArray(), At(hash, ids, shape[1], t));
            }
        }
    }

    private static NGramHash Hash(int vocabulary, double ratio, int neighbors, int splits)
    {
        long rows = (long)(ratio * vocabulary);
        return new NGramHash(vocabulary, neighbors, splits, [.. Enumerable.Range(0, splits * (neighbors - 1)).Select(i => rows + (2 * i) + 1)], 2);
    }

    private static long[] Compute(NGramHash hash, long[] tokens)
    {
        var ids = new long[hash.Tables * tokens.Length];
        hash.Compute(tokens, [], ids, tokens.Length);
        return ids;
    }

    private static long[] At(NGramHash hash, long[] ids, int stride, int t) => [.. Enumerable.Range(0, hash.Tables).Select(i => ids[(i * stride) + t])];
}
