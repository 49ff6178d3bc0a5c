using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// Decides what each step computes: who runs, with which pages, and how many tokens. Knows nothing of models or threads; the engine's loop owns it.
/// </summary>
/// <remarks>
/// Progress is certain: a request enters only if the whole pool could hold it alone, pages are taken from the youngest running request,
/// and waiting requests are served in order of arrival. So the oldest request always advances, then the next. Pages of streaming attentions are never taken
/// from a running request: each has a share reserved with which it can advance (Scheduler.Streaming.cs).
/// </remarks>
internal sealed partial class Scheduler
{
    private readonly PagePool? _pool;
    private readonly StreamingPool? _streaming;
    private readonly int _pageSize;
    private readonly SchedulerLimits _limits;
    private readonly List<Sequence> _running = [];
    private readonly List<Sequence> _waiting = [];
    private readonly List<StepEntry> _entries = [];
    private readonly List<Sequence> _candidates = [];
    private long _arrivals;
    private long _step;
    private long _versions;

    /// <param name="pool">The pages of full attentions; null where the model has none.</param>
    /// <param name="limits">What a step may hold.</param>
    /// <param name="streaming">The pages of streaming attentions, of the same size; null where the model has none.</param>
    public Scheduler(PagePool? pool, SchedulerLimits limits, StreamingPool? streaming = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.MaxSequences, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.MaxStepTokens, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.MaxLogitRows, limits.MaxSequences);
        _pageSize = (pool ?? streaming?.Pages ?? throw new ArgumentException("a scheduler needs pages of full attentions, of streaming ones, or of both", nameof(pool))).PageSize;
        _pool = pool;
        _streaming = streaming;
        _limits = limits;
    }

    /// <summary>Requests that take part in steps, in order of arrival.</summary>
    public IReadOnlyList<Sequence> Running => _running;

    /// <summary>Requests that wait, in order of arrival.</summary>
    public IReadOnlyList<Sequence> Waiting => _waiting;

    public long PrefixHitTokens { get; private set; }

    public long Preemptions { get; private set; }

    /// <summary>Queues a request that the pool can hold.</summary>
    public void Add(Sequence sequence)
    {
        if (_pool is not null && _pool.PagesFor(sequence.MaxCachedTokens) > _pool.PageCount)
        {
            throw new InvalidOperationException($"a request for {_pool.PagesFor(sequence.MaxCachedTokens)} pages entered a pool of {_pool.PageCount}");
        }

        if (_streaming is not null && Share(sequence) > _streaming.Pages.PageCount)
        {
            throw new InvalidOperationException($"a request for {Share(sequence)} streaming pages entered a pool of {_streaming.Pages.PageCount}");
        }

        sequence.Order = _arrivals++;
        sequence.NameWholePages(_pageSize);
        _waiting.Add(sequence);
    }

    /// <summary>Takes out a request that is done, failed or cancelled, and frees its pages.</summary>
    public void Remove(Sequence sequence)
    {
        if (!_running.Remove(sequence))
        {
            _waiting.Remove(sequence);
        }

        FreePages(sequence);
    }

    /// <summary>
    /// Records that the leading tokens of a running request are in the caches, makes their whole pages findable, and gives the streaming pages back that no later token reads.
    /// Tokens behind them may have been computed too; they count for nothing, and what they took beyond is given back.
    /// </summary>
    /// <param name="sequence">The request; its tokens are those it has after the step.</param>
    /// <param name="tokens">Leading tokens in the cache.</param>
    /// <param name="sparse">Whether the last ones were verified sparsely.</param>
    public void Computed(Sequence sequence, int tokens, bool sparse = false)
    {
        CountExact(sequence, tokens, sparse);
        sequence.Computed = tokens;
        sequence.DraftComputed = Math.Min(sequence.DraftComputed, tokens);
        sequence.NameContent(tokens / _pageSize, _pageSize);

        // Only what any request would have computed may be found by others.
        int whole = sequence.Exact / _pageSize;
        for (; sequence.PublishedPages < whole; sequence.PublishedPages++)
        {
            int index = sequence.PublishedPages;
            if (_pool is not null)
            {
                int page = sequence.Pages[index];
                if (_pool.Publish(ref page, sequence.Keys[index]))
                {
                    sequence.Pages[index] = page;
                    sequence.PagesVersion = ++_versions;
                }
            }

            if (_streaming is not null)
            {
                sequence.Streaming.Publish(_streaming.Pages, index, sequence.Keys[index]);
            }
        }

        GiveBackDraftPages(sequence);
        if (_streaming is not null)
        {
            _streaming.Returned += sequence.Streaming.Advance(_streaming.Pages, _streaming.Pattern, tokens, KeptFrom(sequence));
        }
    }

    /// <summary>Gives the pages back, last page first: of a chain that is kept for its content, the end is given up before the beginning.</summary>
    private void FreePages(Sequence sequence)
    {
        for (int i = sequence.Pages.Count - 1; i >= 0; i--)
        {
            _pool!.Release(sequence.Pages[i]);
        }

        sequence.Pages.Clear();
        sequence.PagesVersion = ++_versions;
        if (_streaming is not null)
        {
            sequence.Streaming.Clear(_streaming.Pages);
        }

        sequence.Computed = 0;
        sequence.Exact = 0;
        sequence.ApproximateSteps = 0;
        sequence.DraftComputed = 0;
        sequence.Drafts.Clear();
        sequence.PublishedPages = 0;
    }

    private static void InsertByOrder(List<Sequence> list, Sequence sequence)
    {
        int index = list.Count;
        while (index > 0 && list[index - 1].Order > sequence.Order)
        {
            index--;
        }

        list.Insert(index, sequence);
    }
}
