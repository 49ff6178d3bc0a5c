using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;

namespace LongCat.ML.Inference;

/// <summary>How much fits: pages from the memory budget, rows of logits of one step.</summary>
/// <param name="Pages">Pages of the pool; a page has the same id in every cache of a full attention. 0 where the model has none.</param>
/// <param name="PagesPerSequence">The most pages that one sequence can use.</param>
/// <param name="LogitRows">The most rows of logits of one step.</param>
/// <param name="StreamingPages">Pages of the pool of streaming attentions; 0 where the model has none.</param>
/// <param name="Pattern">What streaming attentions read; null where the model has none.</param>
internal readonly record struct EngineCapacity(int Pages, int PagesPerSequence, int LogitRows, int StreamingPages = 0, StreamingPattern? Pattern = null)
{
    /// <summary>Rows of logits of one step are kept below this, unless that were less than one row for each sequence.</summary>
    private const long LogitBytes = 64L << 20;

    /// <summary>Entries of the block table, of which there is one for each page that each of the sequences could have: 1 GiB.</summary>
    private const long TableEntries = 1L << 28;

    /// <param name="manifest">The model.</param>
    /// <param name="options">The engine's options.</param>
    /// <param name="draft">What proposes tokens, with caches in pages of the same ids as those of full attentions; null for none.</param>
    /// <exception cref="InferenceException">Not one page (and one window of streaming attentions) fits the budget, or the block table would be too large.</exception>
    public static EngineCapacity Compute(ModelManifest manifest, EngineOptions options, ModelManifest? draft = null)
    {
        StreamingPattern? pattern = StreamingPattern.Of(manifest, options.PageSize);
        long fullBytes = (draft?.Caches.Sum(cache => (long)cache.Width) ?? 0) * ElementBytes(draft ?? manifest) * options.PageSize;
        fullBytes += (manifest.SparseVerification?.MeanBytesPerPage ?? 0) + (draft?.SparseVerification?.MeanBytesPerPage ?? 0);
        long streamingBytes = 0;
        for (int cache = 0; cache < manifest.Caches.Count; cache++)
        {
            long bytes = manifest.Caches[cache].Width * ElementBytes(manifest) * options.PageSize;
            (fullBytes, streamingBytes) = StreamingPattern.IsStreaming(manifest, cache) ? (fullBytes, streamingBytes + bytes) : (fullBytes + bytes, streamingBytes);
        }

        long pagesPerSequence = (manifest.MaxPositions + (long)options.PageSize - 1) / options.PageSize;
        long window = pattern is null ? 0 : Math.Min(pagesPerSequence, pattern.PagesOf(MostRefreshed(options)));
        if (options.MemoryBudgetBytes < fullBytes + (window * streamingBytes))
        {
            throw TooSmall(manifest, options, draft, fullBytes, streamingBytes, window, pagesPerSequence);
        }

        (long pages, long streamingPages) = Divide(options, fullBytes, streamingBytes, window, pagesPerSequence);
        pages = Math.Min(pages, int.MaxValue / options.PageSize);
        streamingPages = Math.Min(streamingPages, int.MaxValue / options.PageSize);
        long width = fullBytes == 0 ? pagesPerSequence : Math.Min(pages, pagesPerSequence);
        if (width * options.MaxSequences > TableEntries)
        {
            throw new InferenceException(
                $"EngineOptions.MaxSequences is {options.MaxSequences}: with {width} pages for each the block table has {width * options.MaxSequences} entries, at most {TableEntries} are possible. "
                + "Lower MaxSequences or raise PageSize.");
        }

        long rows = Math.Clamp(LogitBytes / (4L * manifest.VocabSize), 1, options.MaxStepTokens);
        return new EngineCapacity((int)pages, (int)width, (int)Math.Max(rows, options.MaxSequences), (int)streamingPages, pattern);
    }

    /// <summary>
    /// Divides the budget between full and streaming attentions. A full one needs a page for every page of the context, a streaming one its window, however long the context.
    /// The streaming pool gets the windows of all requests that may run and the pages of one step's tokens, which is all that is ever in use at once; but no more than what leaves
    /// both pools empty together when sequences of the longest length run, or than a quarter of the budget where that is more: short requests need as many pages of one as of the other.
    /// </summary>
    private static (long Pages, long StreamingPages) Divide(EngineOptions options, long fullBytes, long streamingBytes, long window, long pagesPerSequence)
    {
        long budget = options.MemoryBudgetBytes;
        long most = pagesPerSequence * options.MaxSequences;
        if (streamingBytes == 0)
        {
            return (Math.Min(budget / fullBytes, most), 0);
        }

        long step = (options.MaxStepTokens + (long)options.PageSize - 1) / options.PageSize;
        long useful = window < pagesPerSequence ? (window * options.MaxSequences) + step : most;
        long inProportion = (long)((Int128)budget * (window * streamingBytes) / ((pagesPerSequence * fullBytes) + (window * streamingBytes)));
        long least = Math.Max(window, Math.Min(window + step, budget / 2 / streamingBytes));
        long streaming = Math.Min(useful, Math.Max(least, Math.Max(inProportion, budget / 4) / streamingBytes));
        streaming = Math.Min(streaming, (budget - fullBytes) / streamingBytes);
        long pages = fullBytes == 0 ? 0 : Math.Min((budget - (streaming * streamingBytes)) / fullBytes, most);
        return (pages, Math.Min(useful, (budget - (pages * fullBytes)) / streamingBytes));
    }

    private static InferenceException TooSmall(
        ModelManifest manifest, EngineOptions options, ModelManifest? draft, long fullBytes, long streamingBytes, long window, long pagesPerSequence)
    {
        long longest = (fullBytes * pagesPerSequence) + (streamingBytes * window);
        int streaming = Enumerable.Range(0, manifest.Caches.Count).Count(cache => StreamingPattern.IsStreaming(manifest, cache));
        string full = $"one page of {options.PageSize} tokens takes {fullBytes} bytes over the model's {manifest.Caches.Count - streaming} caches{(streaming > 0 ? " of full attentions" : "")}{(draft is null ? "" : $" and the draft's {draft.Caches.Count}")}";
        string windows = $"the window of one sequence takes {window} pages of {options.PageSize} tokens, {window * streamingBytes} bytes over the model's {streaming} caches of streaming attentions";
        return new InferenceException(
            $"EngineOptions.MemoryBudgetBytes is {options.MemoryBudgetBytes}, and "
            + (streaming == 0 ? full : fullBytes == 0 ? windows : $"{full}, and {windows}")
            + $". Give at least {fullBytes + (window * streamingBytes)} bytes, better {longest}: one sequence of the model's longest length.");
    }

    /// <summary>
    /// Capacity where a page is a slot that holds a whole sequence (graphs of standard operators): as many slots as sequences may run, as long as the budget allows.
    /// </summary>
    /// <returns>The capacity and the options with that page size.</returns>
    /// <exception cref="InferenceException">Not one token in each slot fits the budget.</exception>
    public static (EngineCapacity Capacity, EngineOptions Options) ComputeSlots(ModelManifest manifest, EngineOptions options)
    {
        long tokenBytes = manifest.Caches.Sum(cache => (long)cache.Width) * sizeof(float);
        long longest = Math.Min(manifest.MaxPositions, options.MemoryBudgetBytes / tokenBytes / options.MaxSequences);
        if (longest < 1)
        {
            throw new InferenceException(
                $"EngineOptions.MemoryBudgetBytes is {options.MemoryBudgetBytes}, and one token takes {tokenBytes} bytes over the model's {manifest.Caches.Count} caches, "
                + $"in {options.MaxSequences} slots (MaxSequences) {tokenBytes * options.MaxSequences}. Give more, or lower MaxSequences.");
        }

        longest = Math.Min(longest, int.MaxValue / options.MaxSequences);
        long rows = Math.Clamp(LogitBytes / (4L * manifest.VocabSize), 1, options.MaxStepTokens);
        return (
            new EngineCapacity(options.MaxSequences, 1, (int)Math.Max(rows, options.MaxSequences)),
            options with { PageSize = (int)longest });
    }

    /// <summary>The most tokens that a request computes again because a sparse verification left approximate keys and values of them.</summary>
    private static int MostRefreshed(EngineOptions options) =>
        options.Speculation is { Verification: { IsLossless: false } verification } speculation ? verification.MostApproximate(speculation.WidestProposal) : 0;

    /// <summary>Bytes of an element of a cache.</summary>
    private static long ElementBytes(ModelManifest manifest) => manifest.CacheType.ElementSize();
}
