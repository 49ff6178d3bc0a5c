using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Calibration;

/// <summary>
/// Cuts sequences into steps: short ones share a step, long ones continue over the caches in the next. The order of the tokens is that of the sequences, so what is
/// added up over them does not depend on where the cuts are.
/// </summary>
internal sealed class CalibrationSteps(IReadOnlyList<IReadOnlyList<int>> sequences, int maxTokens, int pageSize)
{
    /// <summary>The most sequences of a step.</summary>
    public const int MaxSequences = 32;

    /// <summary>The most tokens of a step.</summary>
    public int MaxTokens => maxTokens;

    /// <summary>Pages that are in use at once at most: a sequence that began in an earlier step, and those that begin in this one.</summary>
    public int Pages { get; } = PagesOf(sequences.Max(sequence => sequence.Count), pageSize) + PagesOf(maxTokens, pageSize) + MaxSequences;

    /// <summary>The most pages of one sequence.</summary>
    public int PagesPerSequence { get; } = PagesOf(sequences.Max(sequence => sequence.Count), pageSize);

    /// <summary>The steps; a list is valid until the next is asked for.</summary>
    public IEnumerable<List<StepEntry>> Plan()
    {
        Stack<int> free = new(Enumerable.Range(0, Pages).Reverse());
        List<StepEntry> step = [];
        int tokens = 0;
        for (int i = 0; i < sequences.Count; i++)
        {
            CalibrationSequence sequence = new(i, sequences[i]);
            while (sequence.Computed < sequence.Target)
            {
                int count = Math.Min(sequence.Remaining, maxTokens - tokens);
                while (sequence.Pages.Count < PagesOf(sequence.Computed + count, pageSize))
                {
                    int page = free.Pop();
                    sequence.Pages.Add(page);

                    // Streaming attentions have as many pages here: nothing is given back before the end.
                    sequence.Streaming.Add(page);
                }

                step.Add(new StepEntry(sequence, sequence.Computed, count));
                sequence.Computed += count;
                tokens += count;
                if (tokens == maxTokens || step.Count == MaxSequences)
                {
                    yield return step;
                    foreach (StepEntry entry in step.Where(entry => entry.Sequence.Remaining == 0))
                    {
                        entry.Sequence.Pages.ForEach(free.Push);
                    }

                    step.Clear();
                    tokens = 0;
                }
            }
        }

        if (step.Count > 0)
        {
            yield return step;
        }
    }

    private static int PagesOf(int tokens, int pageSize) => (tokens + pageSize - 1) / pageSize;
}
