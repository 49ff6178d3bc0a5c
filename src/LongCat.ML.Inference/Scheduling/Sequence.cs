using System.Runtime.InteropServices;
using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>A request in the engine: its tokens, how far they are computed, and the pages that hold them. Owned by the engine's loop once submitted.</summary>
internal abstract class Sequence
{
    private volatile bool _cancellationRequested;

    /// <param name="tokens">The request's tokens.</param>
    /// <param name="promptTokens">How many of them are its prompt.</param>
    /// <param name="adapter">The index of the adapter that it runs with, -1 for none.</param>
    protected Sequence(IEnumerable<int> tokens, int promptTokens, int adapter)
    {
        Tokens = [.. tokens];
        PromptTokens = promptTokens;
        Adapter = adapter;
    }

    /// <summary>Prompt and, for generations, the new tokens; for scores, the continuation.</summary>
    public List<int> Tokens { get; }

    /// <summary>Tokens proposed to follow <see cref="Tokens"/> in the step being planned or run; empty between steps.</summary>
    public List<int> Drafts { get; } = [];

    /// <summary>How many of <see cref="Tokens"/> came with the request as its prompt.</summary>
    public int PromptTokens { get; }

    /// <summary>The index of the adapter that the request runs with, -1 for none.</summary>
    public int Adapter { get; }

    /// <summary>How many leading tokens must be in the cache before the next result: the scheduler computes <see cref="Computed"/> up to here.</summary>
    public abstract int Target { get; }

    /// <summary>What is wanted of the positions from <see cref="NextRow"/> on.</summary>
    public virtual RowKind Rows => RowKind.Logits;

    /// <summary>The first position whose row (logits, or hidden states: <see cref="Rows"/>) is still wanted; those of all later positions are wanted too. Below <see cref="Target"/>.</summary>
    public abstract int NextRow { get; }

    /// <summary>The most tokens that the cache must hold for this request at once.</summary>
    public abstract int MaxCachedTokens { get; }

    /// <summary>Place in the order of arrival; set when the request enters the scheduler.</summary>
    public long Order { get; set; }

    /// <summary>Leading tokens that are in the cache.</summary>
    public int Computed { get; set; }

    /// <summary>Tokens whose pages were there when the request was let in for the first time; null before.</summary>
    public int? FoundTokens { get; set; }

    /// <summary>
    /// How many of the <see cref="Computed"/> tokens have the keys and values that exact steps give: all of them, unless a sparse verification wrote one of them. Those behind the first
    /// approximate one count as approximate too, because they were computed from it.
    /// </summary>
    public int Exact { get; set; }

    /// <summary>Steps that left approximate keys and values behind since all of them were exact.</summary>
    public int ApproximateSteps { get; set; }

    /// <summary>Leading tokens that are in a draft model's cache too, whose pages have the same ids.</summary>
    public int DraftComputed { get; set; }

    /// <summary>The pages of the leading tokens in the caches of full attentions, in order; the same ids in every layer. Empty where the model has no full attention.</summary>
    public List<int> Pages { get; } = [];

    /// <summary>Names the content of <see cref="Pages"/>: another number whenever an entry changed, more entries under one number. 0: nobody keeps it.</summary>
    public long PagesVersion { get; set; }

    /// <summary>The pages in the caches of streaming attentions; empty where the model has none.</summary>
    public StreamingPages Streaming { get; } = new();

    /// <summary>How many leading pages are whole, computed and known to the pools by content.</summary>
    public int PublishedPages { get; set; }

    /// <summary>The last step that computed tokens of this sequence.</summary>
    public long LastStep { get; set; } = -1;

    /// <summary>What the leading whole pages hold, as far as <see cref="NameContent"/> was asked for: tells in advance what requests have in common.</summary>
    public List<PageKey> Keys { get; } = [];

    public int Remaining => Target - Computed;

    /// <summary>The most tokens that may be proposed to follow <see cref="Tokens"/>: none beyond what the request may still get, less one that it gets anyway.</summary>
    public virtual int MostDrafts => 0;

    /// <summary>The most tokens behind <see cref="Exact"/> that are computed again later, for which streaming attentions must keep what they read.</summary>
    public virtual int MostRefreshed => 0;

    /// <summary>The token at a position, among <see cref="Tokens"/> or behind them among <see cref="Drafts"/>.</summary>
    public int TokenAt(int position) => position < Tokens.Count ? Tokens[position] : Drafts[position - Tokens.Count];

    public bool CancellationRequested => _cancellationRequested;

    /// <summary>The caller's cancellation, unregistered when the request ends.</summary>
    public CancellationTokenRegistration Registration { get; set; }

    /// <summary>Asks the loop to drop the request. Callable from any thread.</summary>
    public void RequestCancellation() => _cancellationRequested = true;

    /// <summary>Computes <see cref="Keys"/> up to a page; each is computed once, tokens of it must not change any more.</summary>
    public void NameContent(int pages, int pageSize)
    {
        ReadOnlySpan<int> tokens = CollectionsMarshal.AsSpan(Tokens);
        while (Keys.Count < pages)
        {
            PageKey parent = Keys.Count == 0 ? PageKey.RootOf(Adapter) : Keys[^1];
            Keys.Add(parent.Next(tokens.Slice(Keys.Count * pageSize, pageSize)));
        }
    }

    /// <summary>Computes the keys of the pages that the request comes with.</summary>
    public void NameWholePages(int pageSize) => NameContent(Math.Min(Target, Tokens.Count) / pageSize, pageSize);

    /// <summary>Takes the row of a position: the logits that follow it, or its hidden state. Called for every position from <see cref="NextRow"/> on, in order.</summary>
    /// <returns>Whether the request is done.</returns>
    public abstract bool Accept(int position, ReadOnlySpan<float> row);

    /// <summary>Hands the result to the caller.</summary>
    public abstract void Complete();

    /// <summary>Tells the caller that the request was cancelled.</summary>
    public abstract void Cancel();

    /// <summary>Tells the caller that the request failed.</summary>
    public abstract void Fail(Exception exception);
}
