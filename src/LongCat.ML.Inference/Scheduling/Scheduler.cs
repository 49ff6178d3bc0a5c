using System.Runtime.InteropServices;
using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// Decides what each step computes: who runs, with which pages, and how many tokens. Knows nothing of models or threads; the engine's loop owns it.
/// </summary>
/// <remarks>
/// Progress is certain: a request enters only if the whole pool could hold it alone, pages are taken from the youngest running request,
/// and waiting requests are served in order of arrival. So the oldest request always advances, then the next.
/// </remarks>
internal sealed partial class Scheduler
{
    private readonly PagePool _pool;
    private readonly SchedulerLimits _limits;
    private readonly List<Sequence> _running = [];
    private readonly List<Sequence> _waiting = [];
    private readonly List<StepEntry> _entries = [];
    private readonly List<Sequence> _candidates = [];
    private long _arrivals;
    private long _step;

    public Scheduler(PagePool pool, SchedulerLimits limits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.MaxSequences, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.MaxStepTokens, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limits.MaxLogitRows, limits.MaxSequences);
        _pool = pool;
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
        int pages = _pool.PagesFor(sequence.MaxCachedTokens);
        if (pages > _pool.PageCount)
        {
            throw new InvalidOperationException($"a request for {pages} pages entered a pool of {_pool.PageCount}");
        }

        sequence.Order = _arrivals++;
        sequence.HashPrefix(_pool.PageSize);
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

    /// <summary>Records how far a request is computed, makes its whole pages findable, and gives back what proposed tokens took beyond.</summary>
    /// <param name="sequence">The request; its tokens are those it has after the step.</param>
    /// <param name="computed">Leading tokens in the cache.</param>
    public void Computed(Sequence sequence, int computed)
    {
        sequence.Computed = computed;
        sequence.DraftComputed = Math.Min(sequence.DraftComputed, computed);
        ReadOnlySpan<int> tokens = CollectionsMarshal.AsSpan(sequence.Tokens);
        while ((sequence.PublishedPages + 1) * _pool.PageSize <= sequence.Computed)
        {
            int index = sequence.PublishedPages;
            int page = sequence.Pages[index];
            sequence.Content = _pool.Publish(ref page, sequence.Content, tokens.Slice(index * _pool.PageSize, _pool.PageSize));
            sequence.Pages[index] = page;
            sequence.PublishedPages++;
        }

        GiveBackDraftPages(sequence);
    }

    /// <summary>Gives the pages back, last page first: of a chain that is kept for its content, the end is given up before the beginning.</summary>
    private void FreePages(Sequence sequence)
    {
        for (int i = sequence.Pages.Count - 1; i >= 0; i--)
        {
            _pool.Release(sequence.Pages[i]);
        }

        sequence.Pages.Clear();
        sequence.Computed = 0;
        sequence.DraftComputed = 0;
        sequence.Drafts.Clear();
        sequence.PublishedPages = 0;
        sequence.Content = PagePool.RootOf(sequence.Adapter);
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
