using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Tests;

public sealed class PagePoolTests
{
    private static readonly PageKey s_first = PageKey.RootOf(-1).Next([5, 6]);
    private static readonly PageKey s_second = s_first.Next([7, 8]);

    [Fact]
    public void A_published_page_is_found_by_its_content_until_its_space_is_needed()
    {
        PagePool pool = new(pageCount: 2, pageSize: 2);
        int first = pool.Allocate();
        int second = pool.Allocate();
        Assert.False(pool.Publish(ref first, s_first));
        Assert.False(pool.Publish(ref second, s_second));
        pool.Release(second);
        pool.Release(first);
        Assert.Equal((2, 0, 2), (pool.Available, pool.InUse, pool.PeakInUse));

        Assert.True(pool.TryFind(s_first, out int found));
        Assert.Equal(first, found);
        Assert.True(pool.TryFind(s_second, out found));
        Assert.Equal(second, found);

        // The page released first, the end of the chain, is given up first.
        Assert.Equal(second, pool.Allocate());
        Assert.False(pool.TryFind(s_second, out _));
        Assert.True(pool.TryFind(s_first, out _));
    }

    [Fact]
    public void The_same_content_is_kept_once()
    {
        PagePool pool = new(pageCount: 3, pageSize: 2);
        int first = pool.Allocate();
        int copy = pool.Allocate();
        Assert.False(pool.Publish(ref first, s_first));
        Assert.True(pool.Publish(ref copy, s_first));
        Assert.Equal(first, copy);
        Assert.False(pool.Publish(ref copy, s_first));
        Assert.Equal((2, 2), (pool.Available, pool.References(first)));
        pool.Release(first);
        Assert.Equal(2, pool.Available);
        pool.Release(copy);
        Assert.Equal(3, pool.Available);
    }

    [Fact]
    public void Releasing_too_often_allocating_too_much_and_sharing_what_holds_nothing_are_errors()
    {
        PagePool pool = new(pageCount: 1, pageSize: 1);
        int page = pool.Allocate();
        Assert.Throws<InvalidOperationException>(() => pool.Allocate());
        pool.Release(page);
        Assert.Throws<InvalidOperationException>(() => pool.Release(page));
        Assert.Throws<InvalidOperationException>(() => pool.Retain(page));
    }

    [Fact]
    public void Keys_tell_contents_adapters_and_everything_before_them_apart()
    {
        PageKey root = PageKey.RootOf(-1);
        PageKey[] keys =
        [
            root, PageKey.RootOf(0), PageKey.RootOf(1), root.Next([5, 6]), root.Next([6, 5]), root.Next([5, 7]), PageKey.RootOf(0).Next([5, 6]),
            root.Next([5, 6]).Next([7, 8]), root.Next([5, 7]).Next([7, 8]), root.Next([.. Enumerable.Range(0, 500)]), root.Next([.. Enumerable.Range(1, 500)]),
        ];
        Assert.Equal(keys.Length, keys.Distinct().Count());
        Assert.Equal(root.Next([5, 6]).Next([7, 8]), s_second);
    }
}
