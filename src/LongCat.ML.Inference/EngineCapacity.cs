using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference;

/// <summary>How much fits: pages from the memory budget, rows of logits of one step.</summary>
/// <param name="Pages">Pages of the pool; a page has the same id in every cache.</param>
/// <param name="PagesPerSequence">The most pages that one sequence can use.</param>
/// <param name="LogitRows">The most rows of logits of one step.</param>
internal readonly record struct EngineCapacity(int Pages, int PagesPerSequence, int LogitRows)
{
    /// <summary>Rows of logits of one step are kept below this, unless that were less than one row for each sequence.</summary>
    private const long LogitBytes = 64L << 20;

    /// <summary>Entries of the block table, of which there is one for each page that each of the sequences could have: 1 GiB.</summary>
    private const long TableEntries = 1L << 28;

    /// <param name="manifest">The model.</param>
    /// <param name="options">The engine's options.</param>
    /// <param name="draft">What proposes tokens, with caches in pages of the same ids; null for none.</param>
    /// <exception cref="InferenceException">Not one page fits the budget, or the block table would be too large.</exception>
    public static EngineCapacity Compute(ModelManifest manifest, EngineOptions options, ModelManifest? draft = null)
    {
        long tokenBytes = TokenBytes(manifest) + (draft is null ? 0 : TokenBytes(draft));
        long pageBytes = tokenBytes * options.PageSize;
        long pagesPerSequence = (manifest.MaxPositions + (long)options.PageSize - 1) / options.PageSize;
        long pages = Math.Min(options.MemoryBudgetBytes / pageBytes, pagesPerSequence * options.MaxSequences);
        if (pages < 1)
        {
            throw new InferenceException(
                $"EngineOptions.MemoryBudgetBytes is {options.MemoryBudgetBytes}, and one page of {options.PageSize} tokens takes {pageBytes} bytes "
                + $"over the model's {manifest.Caches.Count} caches{(draft is null ? "" : $" and the draft's {draft.Caches.Count}")}. Give at least that, better {pageBytes * pagesPerSequence} bytes: one sequence of the model's longest length.");
        }

        pages = Math.Min(pages, int.MaxValue / options.PageSize);
        long table = Math.Min(pages, pagesPerSequence) * options.MaxSequences;
        if (table > TableEntries)
        {
            throw new InferenceException(
                $"EngineOptions.MaxSequences is {options.MaxSequences}: with {Math.Min(pages, pagesPerSequence)} pages for each the block table has {table} entries, at most {TableEntries} are possible. "
                + "Lower MaxSequences or raise PageSize.");
        }

        long rows = Math.Clamp(LogitBytes / (4L * manifest.VocabSize), 1, options.MaxStepTokens);
        return new EngineCapacity((int)pages, (int)Math.Min(pages, pagesPerSequence), (int)Math.Max(rows, options.MaxSequences));
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

    private static long TokenBytes(ModelManifest manifest) => manifest.Caches.Sum(cache => (long)cache.Width) * (manifest.CacheType == CacheType.BFloat16 ? 2 : 4);
}
