using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// Pages of streaming attentions. They are taken for one step's tokens and given back when no later token reads them, so a request never holds more than its share
/// (what one token reads and writes) between two steps. The shares of the running requests together never exceed the pool, and what is left of it goes to the
/// longer parts of prompts: so pages are always there when they are taken, and no request is preempted for them.
/// </summary>
internal sealed partial class Scheduler
{
    private int Shares() => _running.Sum(sequence => Share(sequence));

    /// <summary>The pages with which a request can always compute its next token, and those that it reads again for a refresh.</summary>
    private int Share(Sequence sequence) => _streaming!.Share(sequence.MaxCachedTokens, sequence.MostRefreshed);

    /// <summary>Whether a share is left for a waiting request.</summary>
    private bool HasStreamingPages(Sequence sequence) =>
        _streaming is null || Shares() + Share(sequence) <= _streaming.Pages.PageCount;

    /// <summary>The most leading pages, up to <paramref name="most"/>, behind which every page that is read is there.</summary>
    private int StreamingShared(Sequence sequence, int most)
    {
        StreamingPattern pattern = _streaming!.Pattern;
        for (int index = 0; index < Math.Min(most, pattern.SinkPages); index++)
        {
            if (!Holds(index))
            {
                most = index;
            }
        }

        // A page that is missing ends not only this beginning but all shorter ones that reach behind it: their windows begin no later.
        for (int index = most - 1; index >= pattern.FirstPage(most * _pageSize); index--)
        {
            if (!Holds(index))
            {
                most = index;
            }
        }

        return most;

        bool Holds(int index) => _streaming.Pages.TryFind(sequence.Keys[index], out _);
    }

    private void TakeSharedStreamingPages(Sequence sequence, int shared)
    {
        StreamingPattern pattern = _streaming!.Pattern;
        int first = pattern.FirstPage(shared * _pageSize);
        for (int index = 0; index < shared; index++)
        {
            int page = StreamingPages.Returned;
            if (index < pattern.SinkPages || index >= first)
            {
                if (!_streaming.Pages.TryFind(sequence.Keys[index], out page))
                {
                    throw new InvalidOperationException($"streaming page {index} of a shared beginning of {shared} pages is gone");
                }

                _streaming.Pages.Retain(page);
            }

            sequence.Streaming.Add(page);
        }

        sequence.Streaming.Advance(_streaming.Pages, pattern, shared * _pageSize, shared * _pageSize);
    }

    /// <summary>Takes the streaming pages for the next tokens of a running request: for as many of them as its share and a part of what is left of the pool allow.</summary>
    /// <param name="sequence">The request.</param>
    /// <param name="count">How many tokens are wanted, at least 1.</param>
    /// <param name="left">Pages of the pool that no running request has reserved; what is taken of them is subtracted.</param>
    /// <param name="part">How many of <paramref name="left"/> this request may take.</param>
    /// <returns>How many tokens have pages, at least 1.</returns>
    private int TakeStreamingPages(Sequence sequence, int count, ref int left, int part)
    {
        if (_streaming is null)
        {
            return count;
        }

        StreamingPages pages = sequence.Streaming;
        int share = Share(sequence);
        int reserved = Math.Max(share, pages.Held);
        long fits = (pages.Count + (long)Math.Max(0, share + part - pages.Held)) * _pageSize;
        count = (int)Math.Min(count, fits - sequence.Computed);
        while (pages.Count < _streaming.Pages.PagesFor(sequence.Computed + count))
        {
            pages.Add(_streaming.Pages.Allocate());
        }

        left -= Math.Max(share, pages.Held) - reserved;
        return count;
    }
}
