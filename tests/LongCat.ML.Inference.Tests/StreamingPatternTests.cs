using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Tests;

/// <summary>Pages and windows against the published formula, position by position.</summary>
public sealed class StreamingPatternTests
{
    [Fact]
    public void The_published_example_and_counts()
    {
        StreamingPattern toy = new(blockSize: 4, sinkBlocks: 1, localBlocks: 2, pageSize: 4);
        Assert.Equal([0, 1, 2, 3, 8, 9, 10, 11, 12, 13], Enumerable.Range(0, 20).Where(key => toy.Visible(13, key)));

        StreamingPattern published = new(blockSize: 128, sinkBlocks: 1, localBlocks: 7, pageSize: 16);
        foreach ((int query, int count) in new[] { (0, 1), (895, 896), (896, 897), (1023, 1024), (1024, 897), (131_071, 1024) })
        {
            Assert.Equal(count, Enumerable.Range(0, query + 1).Count(key => published.Visible(query, key)));
        }

        Assert.Equal((8, 64), (published.SinkPages, published.WindowPages));
    }

    [Fact]
    public void Pages_are_those_that_the_formula_reads_now_or_later()
    {
        Random random = new(7);
        for (int i = 0; i < 60; i++)
        {
            (int block, int sink, int local, int page) = (random.Next(1, 9), random.Next(3), random.Next(1, 4), random.Next(1, 9));
            StreamingPattern pattern = new(block, sink, local, page);
            int most = 0;
            for (int position = 0; position < 120; position++)
            {
                // What a token reads and writes: no page of it is missing, and the first page of the window is one of them.
                int[] read = [.. Enumerable.Range(0, position + 1).Where(key => pattern.Visible(position, key)).Select(key => key / page).Distinct()];
                Assert.All(read, index => Assert.True(index < pattern.SinkPages || index >= pattern.FirstPage(position)));
                Assert.Contains(pattern.FirstPage(position), read);
                Assert.True(pattern.FirstPage(position) <= pattern.FirstPage(position + 1));
                Assert.True(read.Length <= pattern.WindowPages);
                most = Math.Max(most, read.Length);
            }

            // The bound is reached: the pool reserves no page that a token could never need.
            Assert.Equal(pattern.WindowPages, most);
        }
    }

    [Fact]
    public void Long_contexts_and_large_blocks_do_not_overflow()
    {
        StreamingPattern pattern = new(65_536, 8192, 8192, 16);
        Assert.Equal((long)((int.MaxValue / 65_536) - 8191) * 65_536 / 16, pattern.FirstPage(int.MaxValue));
        Assert.Equal(0, pattern.FirstPage(65_536 * 8191));
        Assert.True(pattern.WindowPages > 0 && pattern.SinkPages > 0);
        Assert.Equal((int.MaxValue - 128 - (int.MaxValue % 128)) / 16, new StreamingPattern(128, 1, 2, 16).FirstPage(int.MaxValue));
    }
}
