using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Paging;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Quantization;
using Microsoft.ML.OnnxRuntime;

namespace LongCat.ML.Inference.Calibration;

/// <summary>
/// Runs sequences through a probe export (a float graph whose outputs include the inputs of all linear layers) and adds up what quantization wants to know of those inputs:
/// largest magnitudes and squares of each channel, and Gram matrices where asked for.
/// </summary>
/// <remarks>
/// Nothing is kept of a step but the sums. The same sequences give the same sums bit for bit, whatever the threads: each site adds up its rows in their order, and a row does not depend on the others of its step.
/// Thread safety: static and without state.
/// </remarks>
public static class Calibrator
{
    private const int PageSize = 16;
    private const int MaxStepTokens = 512;

    /// <summary>Values of a step's outputs are kept below this: they all exist at once.</summary>
    private const long StepBytes = 256L << 20;

    /// <summary>Collects the statistics of the sites.</summary>
    /// <param name="folder">A probe export: float32, longcat operators.</param>
    /// <param name="sites">Its sites, as the export listed them.</param>
    /// <param name="sequences">Token ids; each sequence begins at position 0 and is no longer than the model's longest context. Empty ones are skipped.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Told after every step, on this thread; null for none.</param>
    /// <param name="cancellationToken">Ends the calibration, a running step included.</param>
    /// <returns>The statistics, to be disposed by the caller.</returns>
    /// <exception cref="CheckpointException">The folder is no exported model.</exception>
    /// <exception cref="InferenceException">The folder is no probe export of these sites, a sequence does not fit the model, or an activation is not finite: then site, sequence and position are named.</exception>
    /// <exception cref="ArgumentException">There is no sequence with tokens, or no site.</exception>
    /// <exception cref="IOException">The disk has no room for Gram matrices beyond the memory budget.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static CalibrationResult Collect(
        string folder,
        IReadOnlyList<LinearSite> sites,
        IReadOnlyList<IReadOnlyList<int>> sequences,
        CalibrationOptions? options = null,
        IProgress<CalibrationProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentNullException.ThrowIfNull(sites);
        ArgumentNullException.ThrowIfNull(sequences);
        options ??= new CalibrationOptions();
        options.Check();
        if (sites.Count == 0)
        {
            throw new ArgumentException("there is no site to calibrate, expected those of a probe export", nameof(sites));
        }

        ModelManifest manifest = ModelManifest.Read(folder);
        Check(sequences, manifest);
        IReadOnlyList<SiteRows> rows = SiteRows.Of(sites);
        IReadOnlyList<IReadOnlyList<int>> passes = Passes(rows, options);
        CalibrationSteps steps = new(sequences, StepTokens(rows), PageSize);
        using ProbeSession probe = ProbeSession.Open(folder, manifest, rows.SelectMany(site => site.Outputs), steps.Pages, PageSize, options.Threads);
        PackedStep packed = new(
            steps.MaxTokens, CalibrationSteps.MaxSequences, steps.PagesPerSequence, PageSize, manifest.NgramNeighbors, StreamingPattern.Of(manifest, PageSize));
        long tokens = sequences.Sum(sequence => (long)sequence.Count);
        SiteStatistics[] statistics = new SiteStatistics[rows.Count];
        GramFile? file = null;
        try
        {
            for (int pass = 0; pass < passes.Count; pass++)
            {
                // The first pass sees all sites; later ones only those whose Gram matrices had no room before.
                int[] seen = pass == 0 ? [.. Enumerable.Range(0, rows.Count)] : [.. passes[pass]];
                HashSet<int> withGram = [.. passes[pass]];
                Dictionary<int, SiteAccumulator> sums = seen.ToDictionary(site => site, site => new SiteAccumulator(rows[site].Site, withGram.Contains(site)));
                long done = pass * tokens;
                foreach (List<StepEntry> step in steps.Plan())
                {
                    Run(probe, packed, step, cancellationToken);
                    Add(rows, seen, sums, probe, step, options, cancellationToken);
                    done += packed.Tokens;
                    progress?.Report(new CalibrationProgress(done, tokens * passes.Count, pass + 1, passes.Count));
                }

                foreach (int site in seen)
                {
                    SiteStatistics complete = sums[site].Complete();
                    sums.Remove(site);
                    if (passes.Count > 1 && complete.Gram is { } gram)
                    {
                        file ??= new GramFile(options.TemporaryFolder);
                        file.Write(complete.Site.Name, gram, complete.Site.Channels);
                        complete = CalibrationResult.WithGram(complete, null);
                    }

                    statistics[site] = complete;
                }
            }

            return new CalibrationResult(statistics, file, tokens, passes.Count, options.DataFree);
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    internal static void Check(IReadOnlyList<IReadOnlyList<int>> sequences, ModelManifest manifest)
    {
        for (int i = 0; i < sequences.Count; i++)
        {
            if (sequences[i].Count > manifest.MaxPositions)
            {
                throw new InferenceException($"calibration sequence {i} has {sequences[i].Count} tokens, the model takes at most {manifest.MaxPositions}");
            }

            for (int position = 0; position < sequences[i].Count; position++)
            {
                int id = sequences[i][position];
                if (id < 0 || id >= manifest.VocabSize)
                {
                    throw new InferenceException($"calibration sequence {i} has the token id {id} at position {position}, expected 0 to {manifest.VocabSize - 1}");
                }
            }
        }

        if (sequences.All(sequence => sequence.Count == 0))
        {
            throw new ArgumentException($"none of {sequences.Count} calibration sequences has a token", nameof(sequences));
        }
    }

    /// <summary>Which sites' Gram matrices each pass adds up: in the order of the sites, as many as the budget holds.</summary>
    private static List<List<int>> Passes(IReadOnlyList<SiteRows> rows, CalibrationOptions options)
    {
        List<List<int>> passes = [[]];
        if (!options.Gram)
        {
            return passes;
        }

        bool experts = rows.Where(site => site.Site.Expert is not null).Sum(site => 8.0 * site.Site.Channels * site.Site.Channels) <= options.ExpertGramBytes;
        long used = 0, budget = options.Budget;
        for (int site = 0; site < rows.Count; site++)
        {
            if (rows[site].Site.Expert is not null && !experts)
            {
                continue;
            }

            long bytes = 8L * rows[site].Site.Channels * rows[site].Site.Channels;
            if (bytes > budget)
            {
                throw new InferenceException(
                    $"CalibrationOptions.MemoryBudgetBytes is {budget:N0}, and the Gram matrix of '{rows[site].Site.Name}' with {rows[site].Site.Channels} channels takes {bytes:N0} bytes. "
                    + "Give at least that, or calibrate without error compensation.");
            }

            if (used + bytes > budget)
            {
                passes.Add([]);
                used = 0;
            }

            passes[^1].Add(site);
            used += bytes;
        }

        return passes;
    }

    /// <summary>So many that the values of all sites stay below a bound; depends on the graph alone, so that the sums do too.</summary>
    private static int StepTokens(IReadOnlyList<SiteRows> rows)
    {
        long tokenBytes = rows.Where(site => site.Site.Expert is null).Sum(site => 4L * site.Site.Channels);
        return (int)Math.Clamp(StepBytes / Math.Max(1, tokenBytes), 16, MaxStepTokens);
    }

    private static void Run(ProbeSession probe, PackedStep packed, List<StepEntry> step, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        packed.Fill([.. step]);
        using CancellationTokenRegistration registration = cancellationToken.Register(probe.Abort);
        try
        {
            probe.Run(packed);
        }
        catch (OnnxRuntimeException exception)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new InferenceException($"the calibration failed in a step of {packed.Tokens} tokens: {exception.Message}", exception);
        }
    }

    private static void Add(
        IReadOnlyList<SiteRows> rows,
        int[] seen,
        Dictionary<int, SiteAccumulator> sums,
        ProbeSession probe,
        List<StepEntry> step,
        CalibrationOptions options,
        CancellationToken cancellationToken)
    {
        int[] bad = new int[rows.Count];
        ParallelOptions parallel = new() { MaxDegreeOfParallelism = options.Threads == 0 ? Environment.ProcessorCount : options.Threads, CancellationToken = cancellationToken };
        try
        {
            Parallel.ForEach(seen, parallel, site => bad[site] = rows[site].AddTo(sums[site], probe));
        }
        catch (AggregateException exception) when (exception.InnerException is InferenceException inner)
        {
            throw new InferenceException(inner.Message, inner);
        }

        // The first of the graph: what comes after it is not finite because of it.
        foreach (int site in seen.Where(site => bad[site] >= 0))
        {
            (CalibrationSequence sequence, int position) = Place(step, bad[site]);
            LinearSite named = rows[site].Site;
            throw new InferenceException(
                $"the activations at '{named.Name}'{(named.Weights.Count > 0 ? $" (read by {string.Join(", ", named.Weights)})" : "")} are not finite at position {position} of calibration sequence {sequence.Index}, "
                + $"token id {sequence.Tokens[position]}: the model overflows on this text, or its weights are damaged (longcat inspect --check-finite).");
        }
    }

    private static (CalibrationSequence Sequence, int Position) Place(List<StepEntry> step, int token)
    {
        foreach (StepEntry entry in step)
        {
            if (token < entry.Count)
            {
                return ((CalibrationSequence)entry.Sequence, entry.Start + token);
            }

            token -= entry.Count;
        }

        throw new ArgumentOutOfRangeException(nameof(token), token, "the step has fewer tokens");
    }
}
