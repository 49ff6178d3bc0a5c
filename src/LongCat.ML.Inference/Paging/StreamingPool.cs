namespace LongCat.ML.Inference.Paging;

/// <summary>The pages of the streaming attentions' caches. Every running request has a share reserved, so that none waits for pages in the middle.</summary>
internal sealed class StreamingPool
{
    /// <param name="pages">The pages; at least what one token reads and writes.</param>
    /// <param name="pattern">What a token reads, for the same page size.</param>
    public StreamingPool(PagePool pages, StreamingPattern pattern)
    {
        Pages = pages;
        Pattern = pattern;
    }

    public PagePool Pages { get; }

    public StreamingPattern Pattern { get; }

    /// <summary>Pages that passed out of a running request's window and were given back.</summary>
    public long Returned { get; set; }

    /// <summary>The pages with which a request of some tokens can always compute its next one, whatever else runs.</summary>
    /// <param name="tokens">The most tokens that the request has in the caches.</param>
    /// <param name="refreshed">The most tokens before its next one that it computes again, for whose first the window must still be there.</param>
    public int Share(int tokens, int refreshed = 0) => Math.Min(Pages.PagesFor(tokens), Pattern.PagesOf(refreshed));
}
