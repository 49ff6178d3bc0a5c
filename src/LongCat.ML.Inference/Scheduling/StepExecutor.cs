using System.Diagnostics;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>Plans a step, runs it, and hands its logits to the requests. One call after another, on the engine's loop.</summary>
internal sealed class StepExecutor(Scheduler scheduler, IModelRunner runner, PackedStep step)
{
    private readonly List<Sequence> _finished = [];
    private readonly List<(Sequence Sequence, Exception Error)> _failed = [];
    private readonly List<StepOutcome> _outcomes = [];
    private readonly Speculator? _speculator = scheduler.Speculator;

    public long Steps { get; private set; }

    public long PrefillTokens { get; private set; }

    public long GeneratedTokens { get; private set; }

    public int PeakSequences { get; private set; }

    /// <summary>Requests that the last step brought to their end; out of the scheduler, their callers not told yet.</summary>
    public IReadOnlyList<Sequence> Finished => _finished;

    /// <summary>Requests that failed in the last step; out of the scheduler, their callers not told yet.</summary>
    public IReadOnlyList<(Sequence Sequence, Exception Error)> Failed => _failed;

    /// <summary>Runs one step.</summary>
    /// <returns>Whether there was anything to run.</returns>
    public bool RunStep()
    {
        _finished.Clear();
        _failed.Clear();
        StepEntry[] entries = scheduler.Plan().ToArray();
        if (entries.Length == 0)
        {
            return false;
        }

        PeakSequences = Math.Max(PeakSequences, entries.Length);
        try
        {
            Run(entries);
        }
        catch (Exception exception)
        {
            if (entries.Length == 1 && entries[0].Sequence.Drafts.Count == 0)
            {
                Fail(entries[0], exception);
            }
            else
            {
                RunEachAlone(entries);
            }
        }

        return true;
    }

    /// <summary>
    /// A step failed and does not say whose fault it was: computing a token twice changes nothing, so each request gets a step of its own and only the guilty fail. Proposed tokens stay
    /// out of it: a token that the request would never have had must not fail it.
    /// </summary>
    private void RunEachAlone(StepEntry[] entries)
    {
        foreach (StepEntry entry in entries)
        {
            StepEntry own = entry with { Count = entry.Count - entry.Sequence.Drafts.Count, Sparse = false };
            entry.Sequence.Drafts.Clear();
            try
            {
                Run([own]);
            }
            catch (Exception exception)
            {
                Fail(own, exception);
            }
        }
    }

    private void Run(ReadOnlySpan<StepEntry> entries)
    {
        _outcomes.Clear();
        step.Fill(entries, hidden: _speculator?.ReadsHidden ?? false);
        long start = Stopwatch.GetTimestamp();
        runner.Run(step);
        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        Steps++;
        int row = 0;
        int token = 0;
        foreach (StepEntry entry in entries)
        {
            int rows = entry.LogitRows;
            _outcomes.Add(Accept(entry, row, token));
            row += rows;
            token += entry.Count;
        }

        _speculator?.Follow(_outcomes, runner, milliseconds);
        foreach (StepOutcome outcome in _outcomes)
        {
            Settle(outcome);
        }
    }

    /// <summary>Hands a request its rows, until it is done or chooses another token than the proposed one.</summary>
    /// <param name="entry">What was computed.</param>
    /// <param name="row">The first of its rows of logits.</param>
    /// <param name="token">The first of its tokens in the step.</param>
    private StepOutcome Accept(StepEntry entry, int row, int token)
    {
        Sequence sequence = entry.Sequence;
        int first = entry.FirstRow;
        int own = entry.Count - sequence.Drafts.Count;
        int known = sequence.Tokens.Count;
        bool finished = false;
        bool decoding = sequence is GenerationSequence && own == 1 && entry.Start >= sequence.PromptTokens;
        PrefillTokens += decoding ? 0 : own;
        try
        {
            for (int position = first; position < entry.Start + entry.Count && !finished; position++)
            {
                finished = sequence.Accept(position, sequence.Rows == RowKind.Hidden ? runner.Hidden(token + position - entry.Start) : runner.Logits(row + position - first));
                int accepted = position + 1 - known;
                if (accepted >= 0 && accepted < sequence.Drafts.Count && sequence.Tokens[position + 1] != sequence.Drafts[accepted])
                {
                    break;
                }
            }
        }
        catch (Exception exception)
        {
            return new StepOutcome(entry, token, own, Emitted: 0, Finished: false, exception);
        }

        int emitted = sequence.Tokens.Count - known;
        GeneratedTokens += emitted;
        int kept = own;
        while (kept - own < Math.Min(emitted, sequence.Drafts.Count) && sequence.Tokens[known + kept - own] == sequence.Drafts[kept - own])
        {
            kept++;
        }

        return new StepOutcome(entry, token, kept, emitted, finished, Error: null);
    }

    private void Settle(StepOutcome outcome)
    {
        Sequence sequence = outcome.Entry.Sequence;
        if (outcome.Error is not null)
        {
            Fail(outcome.Entry, outcome.Error);
            return;
        }

        scheduler.Computed(sequence, outcome.Computed, outcome.Entry.Sparse);
        sequence.Drafts.Clear();
        if (outcome.Finished)
        {
            scheduler.Remove(sequence);
            _finished.Add(sequence);
        }
    }

    private void Fail(StepEntry entry, Exception exception)
    {
        scheduler.Remove(entry.Sequence);
        Exception error = exception as InferenceException
            ?? new InferenceException($"a step over positions {entry.Start}..{entry.Start + entry.Count - 1} of the request failed: {exception.Message}", exception);
        _failed.Add((entry.Sequence, error));
    }
}
