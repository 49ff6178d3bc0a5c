namespace LongCat.ML.Inference.Paging;

/// <summary>
/// Counts the references to every page and remembers what whole pages hold, so that requests with the same beginning share them.
/// Holds no tensors: the same page id stands for one page in every layer's cache.
/// </summary>
/// <remarks>
/// A page is free, referenced, or idle: unreferenced, but still findable by its content until the space is needed (least recently released first).
/// Content is identified by the chain (content of the page before, own tokens), compared token by token: the hash only finds the candidate.
/// Not thread-safe; the engine's loop owns it.
/// </remarks>
internal sealed class PagePool
{
    private const int None = -1;

    private readonly int[] _references;
    private readonly int[] _free;
    private readonly int[] _tokens;
    private readonly long[] _parent;
    private readonly long[] _content;
    private readonly int[] _newer;
    private readonly int[] _older;
    private readonly Dictionary<ulong, int> _published = [];
    private int _freeCount;
    private int _idleCount;
    private int _newest = None;
    private int _oldest = None;
    private long _nextContent = 1;

    public PagePool(int pageCount, int pageSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pageCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        PageCount = pageCount;
        PageSize = pageSize;
        _references = new int[pageCount];
        _free = new int[pageCount];
        _tokens = new int[checked(pageCount * pageSize)];
        _parent = new long[pageCount];
        _content = new long[pageCount];
        _newer = new int[pageCount];
        _older = new int[pageCount];
        for (int page = 0; page < pageCount; page++)
        {
            _free[page] = pageCount - 1 - page;
        }

        _freeCount = pageCount;
    }

    /// <summary>The content of the empty beginning of requests without an adapter.</summary>
    public const long Root = 0;

    /// <summary>
    /// The content of the empty beginning of requests with an adapter: keys and values depend on the weights that made them, so requests of different adapters
    /// have nothing in common, whatever their tokens.
    /// </summary>
    /// <param name="adapter">The adapter's index, -1 for none.</param>
    public static long RootOf(int adapter) => Root - 1 - adapter;

    public int PageCount { get; }

    public int PageSize { get; }

    /// <summary>Pages that <see cref="Allocate"/> can give: free and idle ones.</summary>
    public int Available => _freeCount + _idleCount;

    public int InUse => PageCount - Available;

    public int PagesFor(int tokens) => (int)(((long)tokens + PageSize - 1) / PageSize);

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
            Forget(page);
        }
        else
        {
            throw new InvalidOperationException("the page pool is exhausted");
        }

        _references[page] = 1;
        return page;
    }

    /// <summary>Adds a reference to a page that is referenced or idle.</summary>
    public void Retain(int page)
    {
        if (_references[page]++ == 0)
        {
            RemoveIdle(page);
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

        if (_content[page] == 0)
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
    /// <returns>The content id, the parent of the next page.</returns>
    public long Publish(ref int page, long parent, ReadOnlySpan<int> tokens)
    {
        ulong hash = Hash(parent, tokens);
        if (_published.TryGetValue(hash, out int other))
        {
            if (Holds(other, parent, tokens))
            {
                if (other != page)
                {
                    Retain(other);
                    Release(page);
                    page = other;
                }

                return _content[other];
            }

            // Another content under the same hash keeps its entry: this page is simply not findable.
            return _nextContent++;
        }

        tokens.CopyTo(_tokens.AsSpan(page * PageSize, PageSize));
        _parent[page] = parent;
        _content[page] = _nextContent++;
        _published.Add(hash, page);
        return _content[page];
    }

    /// <summary>Finds a page by its content without taking a reference.</summary>
    public bool TryFind(long parent, ReadOnlySpan<int> tokens, out int page, out long content)
    {
        if (_published.TryGetValue(Hash(parent, tokens), out page) && Holds(page, parent, tokens))
        {
            content = _content[page];
            return true;
        }

        page = None;
        content = 0;
        return false;
    }

    /// <summary>The hash of a page's tokens after a beginning with hash or content <paramref name="parent"/>.</summary>
    public static ulong Hash(long parent, ReadOnlySpan<int> tokens)
    {
        ulong hash = (ulong)parent + 0x9E3779B97F4A7C15UL;
        foreach (int token in tokens)
        {
            hash = (hash ^ (uint)token) * 0xBF58476D1CE4E5B9UL;
            hash ^= hash >> 29;
        }

        return hash;
    }

    private bool Holds(int page, long parent, ReadOnlySpan<int> tokens) =>
        _parent[page] == parent && tokens.SequenceEqual(_tokens.AsSpan(page * PageSize, PageSize));

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

    private void Forget(int page)
    {
        _published.Remove(Hash(_parent[page], _tokens.AsSpan(page * PageSize, PageSize)));
        _content[page] = 0;
    }
}
