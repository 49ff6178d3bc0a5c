namespace LongCat.ML.Inference.Paging;

/// <summary>The pages of one sequence in the caches of streaming attentions: its first pages and its last ones; those between are given back.</summary>
internal sealed class StreamingPages
{
    /// <summary>Stands for a page that no later token reads.</summary>
    public const int Returned = -1;

    private readonly List<int> _pages = [];

    /// <summary>Pages from the beginning of the sequence, given back ones included.</summary>
    public int Count => _pages.Count;

    /// <summary>Pages that are held.</summary>
    public int Held { get; private set; }

    /// <summary>All pages behind the sinks and before this one are given back.</summary>
    public int First { get; private set; }

    /// <summary>A page of the pool, or <see cref="Returned"/>.</summary>
    public int this[int index] => _pages[index];

    /// <summary>Appends a page that the sequence holds a reference to, or <see cref="Returned"/>.</summary>
    public void Add(int page)
    {
        _pages.Add(page);
        Held += page == Returned ? 0 : 1;
    }

    /// <summary>Makes a whole page findable, where it is still held.</summary>
    public void Publish(PagePool pool, int index, PageKey key)
    {
        int page = _pages[index];
        if (page != Returned)
        {
            pool.Publish(ref page, key);
            _pages[index] = page;
        }
    }

    /// <summary>Gives the pages back that no token from <paramref name="kept"/> on reads, and those behind a position, which hold nothing that counts.</summary>
    /// <param name="pool">Where they go.</param>
    /// <param name="pattern">What a token reads.</param>
    /// <param name="position">The next token that is computed for the first time.</param>
    /// <param name="kept">The first token that is computed again, at most <paramref name="position"/>; that itself where there is none.</param>
    /// <returns>How many pages passed out of the window.</returns>
    public int Advance(PagePool pool, StreamingPattern pattern, int position, int kept)
    {
        while (_pages.Count > pool.PagesFor(position))
        {
            Release(pool, _pages.Count - 1);
            _pages.RemoveAt(_pages.Count - 1);
        }

        int first = Math.Min(pattern.FirstPage(kept), _pages.Count);
        int returned = Held;
        for (int index = Math.Max(First, pattern.SinkPages); index < first; index++)
        {
            Release(pool, index);
        }

        First = Math.Max(First, first);
        return returned - Held;
    }

    /// <summary>Gives everything back, last page first: of a beginning that is kept for its content, the end is given up before the beginning.</summary>
    public void Clear(PagePool pool)
    {
        for (int index = _pages.Count - 1; index >= 0; index--)
        {
            Release(pool, index);
        }

        _pages.Clear();
        First = 0;
    }

    private void Release(PagePool pool, int index)
    {
        if (_pages[index] != Returned)
        {
            pool.Release(_pages[index]);
            _pages[index] = Returned;
            Held--;
        }
    }
}
