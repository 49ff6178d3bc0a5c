using LongCat.ML.Inference.Requests;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>Plans a step, runs it, and hands its logits to the requests. One call after another, on the engine's loop.</summary>
internal sealed class StepExecutor(Scheduler scheduler, IModelRunner runner, PackedStep step)
{
    private readonly List<Sequence> _finished = [];
    private readonly List<(Sequence Sequence, Exception Error)> _failed = [];

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
            if (entries.Length == 1)
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

    /// <summary>A step failed and does not say whose fault it was: computing a token twice changes nothing, so each request gets a step of its own and only the guilty fail.</summary>
    private void RunEachAlone(StepEntry[] entries)
    {
        foreach (StepEntry entry in entries)
        {
            try
            {
                Run([entry]);
            }
            catch (Exception exception)
            {
                Fail(entry, exception);
            }
        }
    }

    private void Run(ReadOnlySpan<StepEntry> entries)
    {
        step.Fill(entries);
        runner.Run(step);
        Steps++;
        int row = 0;
        int token = 0;
        foreach (StepEntry entry in entries)
        {
            int rows = entry.LogitRows;
            Accept(entry, row, token);
            row += rows;
            token += entry.Count;
        }
    }

    /// <param name="entry">What was computed.</param>
    /// <param name="row">The first of its rows of logits.</param>
    /// <param name="token">The first of its tokens in the step.</param>
    private void Accept(StepEntry entry, int row, int token)
    {
        Sequence sequence = entry.Sequence;
        int first = entry.FirstRow;
        int end = entry.Start + entry.Count;
        bool decoding = sequence is GenerationSequence && entry.Count == 1 && entry.Start >= sequence.PromptTokens;
        PrefillTokens += decoding ? 0 : entry.Count;
        scheduler.Computed(entry);
        try
        {
            for (int position = first; position < end; position++)
            {
                bool finished = sequence.Accept(
                    position, sequence.Rows == RowKind.Hidden ? runner.Hidden(token + position - entry.Start) : runner.Logits(row + position - first));
                GeneratedTokens += sequence is GenerationSequence ? 1 : 0;
                if (finished)
                {
                    scheduler.Remove(sequence);
                    _finished.Add(sequence);
                    break;
                }
            }
        }
        catch (Exception exception)
        {
            Fail(entry, exception);
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
