namespace LongCat.ML.Inference.Paging;

/// <summary>
/// Counts the references to every page and remembers what whole pages hold, so that requests with the same beginning share them.
/// Holds no tensors: the same page id stands for one page in each of the caches that the pool is for.
/// </summary>
/// <remarks>
/// A page is free, referenced, or idle: unreferenced, but still findable by its content until the space is needed (least recently released first).
/// Not thread-safe; the engine's loop owns it.
/// </remarks>
internal sealed class PagePool
{
    private const int None = -1;

    private readonly int[] _references;
    private readonly int[] _free;
    private readonly PageKey[] _key;
    private readonly bool[] _published;
    private readonly int[] _newer;
    private readonly int[] _older;
    private readonly Dictionary<PageKey, int> _pages = [];
    private int _freeCount;
    private int _idleCount;
    private int _newest = None;
    private int _oldest = None;

    public PagePool(int pageCount, int pageSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pageCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        PageCount = pageCount;
        PageSize = pageSize;
        _references = new int[pageCount];
        _free = new int[pageCount];
        _key = new PageKey[pageCount];
        _published = new bool[pageCount];
        _newer = new int[pageCount];
        _older = new int[pageCount];
        for (int page = 0; page < pageCount; page++)
        {
            _free[page] = pageCount - 1 - page;
        }

        _freeCount = pageCount;
    }

    public int PageCount { get; }

    public int PageSize { get; }

    /// <summary>Pages that <see cref="Allocate"/> can give: free and idle ones.</summary>
    public int Available => _freeCount + _idleCount;

    public int InUse => PageCount - Available;

    /// <summary>The most pages that were in use at once.</summary>
    public int PeakInUse { get; private set; }

    public int PagesFor(int tokens) => (int)(((long)tokens + PageSize - 1) / PageSize);

    /// <summary>How many hold a page.</summary>
    public int References(int page) => _references[page];

    /// <summary>Takes a page with one reference. Its content is whatever was there.</summary>
    public int Allocate()
    {
        int page;
        if (_freeCount > 0)
        {
            page = _free[--_freeCount];
        }
        else if (_idleCount > 0)
        {
            page = _oldest;
            RemoveIdle(page);
            _pages.Remove(_key[page]);
            _published[page] = false;
        }
        else
        {
            throw new InvalidOperationException("the page pool is exhausted");
        }

        _references[page] = 1;
        PeakInUse = Math.Max(PeakInUse, InUse);
        return page;
    }

    /// <summary>Adds a reference to a page that is referenced or idle.</summary>
    public void Retain(int page)
    {
        if (_references[page] == 0 && !_published[page])
        {
            throw new InvalidOperationException($"page {page} is free: it holds nothing to share");
        }

        if (_references[page]++ == 0)
        {
            RemoveIdle(page);
            PeakInUse = Math.Max(PeakInUse, InUse);
        }
    }

    /// <summary>Gives a reference back.</summary>
    public void Release(int page)
    {
        if (_references[page] <= 0)
        {
            throw new InvalidOperationException($"page {page} was released more often than taken");
        }

        if (--_references[page] > 0)
        {
            return;
        }

        if (!_published[page])
        {
            _free[_freeCount++] = page;
            return;
        }

        _older[page] = _newest;
        _newer[page] = None;
        if (_newest != None)
        {
            _newer[_newest] = page;
        }

        _newest = page;
        if (_oldest == None)
        {
            _oldest = page;
        }

        _idleCount++;
    }

    /// <summary>
    /// Makes a whole, computed page findable. Where another page already holds the same content, that page takes this one's place:
    /// <paramref name="page"/> becomes the other one, and the caller's reference moves with it.
    /// </summary>
    /// <returns>Whether another page took its place.</returns>
    public bool Publish(ref int page, PageKey key)
    {
        if (!_pages.TryGetValue(key, out int other))
        {
            _key[page] = key;
            _published[page] = true;
            _pages.Add(key, page);
            return false;
        }

        if (other == page)
        {
            return false;
        }

        Retain(other);
        Release(page);
        page = other;
        return true;
    }

    /// <summary>Finds a page by its content without taking a reference.</summary>
    public bool TryFind(PageKey key, out int page)
    {
        if (_pages.TryGetValue(key, out page))
        {
            return true;
        }

        page = None;
        return false;
    }

    private void RemoveIdle(int page)
    {
        int newer = _newer[page];
        int older = _older[page];
        if (newer == None)
        {
            _newest = older;
        }
        else
        {
            _older[newer] = older;
        }

        if (older == None)
        {
            _oldest = newer;
        }
        else
        {
            _newer[older] = newer;
        }

        _idleCount--;
    }
}
