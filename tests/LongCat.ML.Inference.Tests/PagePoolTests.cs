using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Tests;

public sealed class PagePoolTests
{
    [Fact]
    public void A_published_page_is_found_by_its_whole_chain_until_its_space_is_needed()
    {
        PagePool pool = new(pageCount: 2, pageSize: 2);
        int first = pool.Allocate();
        int second = pool.Allocate();
        long content = pool.Publish(ref first, PagePool.Root, [5, 6]);
        pool.Publish(ref second, content, [7, 8]);
        pool.Release(second);
        pool.Release(first);
        Assert.Equal(2, pool.Available);
        Assert.Equal(0, pool.InUse);

        Assert.True(pool.TryFind(PagePool.Root, [5, 6], out int found, out long foundContent));
        Assert.Equal((first, content), (found, foundContent));
        Assert.True(pool.TryFind(content, [7, 8], out found, out _));
        Assert.Equal(second, found);
        Assert.False(pool.TryFind(PagePool.Root, [7, 8], out _, out _));

        // The page released first, the end of the chain, is given up first.
        Assert.Equal(second, pool.Allocate());
        Assert.False(pool.TryFind(content, [7, 8], out _, out _));
        Assert.True(pool.TryFind(PagePool.Root, [5, 6], out _, out _));
    }

    [Fact]
    public void The_same_content_is_kept_once()
    {
        PagePool pool = new(pageCount: 3, pageSize: 2);
        int first = pool.Allocate();
        int copy = pool.Allocate();
        long content = pool.Publish(ref first, PagePool.Root, [1, 2]);
        Assert.Equal(content, pool.Publish(ref copy, PagePool.Root, [1, 2]));
        Assert.Equal(first, copy);
        Assert.Equal(2, pool.Available);
        pool.Release(first);
        Assert.Equal(2, pool.Available);
        pool.Release(copy);
        Assert.Equal(3, pool.Available);
    }

    [Fact]
    public void Releasing_too_often_and_allocating_too_much_are_errors()
    {
        PagePool pool = new(pageCount: 1, pageSize: 1);
        int page = pool.Allocate();
        Assert.Throws<InvalidOperationException>(() => pool.Allocate());
        pool.Release(page);
        Assert.Throws<InvalidOperationException>(() => pool.Release(page));
    }
}
