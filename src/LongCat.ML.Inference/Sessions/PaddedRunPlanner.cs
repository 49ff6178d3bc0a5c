using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Sessions;

/// <summary>
/// Cuts a packed step into runs of a padded graph: all sequences with one token together; prompts that start together where padding stays small;
/// the rest of each prompt alone, since com.microsoft::GroupQueryAttention takes several tokens behind a past for one sequence only.
/// </summary>
/// <param name="mostPairs">The most (query, key) pairs of one run: what the attention of a graph without a fused kernel holds in memory.</param>
internal sealed class PaddedRunPlanner(long mostPairs)
{
    /// <summary>At least this share of a run's places holds tokens; the rest is padding.</summary>
    private const double LeastFilled = 0.8;

    /// <summary>The logits of a run begin at one place for all its sequences, so the shortest makes the others compute rows that nobody wants.</summary>
    private const int MostPadding = 8;

    private const int ShortestPart = 16;

    private readonly List<int> _single = [];
    private readonly List<int> _fresh = [];

    public List<PaddedRun> Plan(PackedStep step)
    {
        List<PaddedRun> runs = [];
        _single.Clear();
        _fresh.Clear();
        for (int s = 0; s < step.Sequences; s++)
        {
            int count = Count(step, s);
            if (count == 1)
            {
                _single.Add(s);
            }
            else if (step.ContextLength[s] == count)
            {
                _fresh.Add(s);
            }
            else
            {
                Alone(runs, step, s);
            }
        }

        if (_single.Count > 0)
        {
            runs.Add(new PaddedRun([.. _single], 0, [.. Enumerable.Repeat(1, _single.Count)]));
        }

        _fresh.Sort((left, right) => Count(step, right).CompareTo(Count(step, left)));
        for (int i = 0; i < _fresh.Count;)
        {
            int width = Count(step, _fresh[i]);
            long tokens = 0;
            int size = 0;
            while (i + size < _fresh.Count)
            {
                int count = Count(step, _fresh[i + size]);
                long more = tokens + count;
                long places = (long)width * (size + 1);
                if (size > 0 && (more < LeastFilled * places || width - count > MostPadding || places * width > mostPairs))
                {
                    break;
                }

                tokens = more;
                size++;
            }

            if (size == 1)
            {
                Alone(runs, step, _fresh[i]);
            }
            else
            {
                int[] sequences = [.. _fresh.Skip(i).Take(size)];
                runs.Add(new PaddedRun(sequences, 0, [.. sequences.Select(s => Count(step, s))]));
            }

            i += size;
        }

        return runs;
    }

    private void Alone(List<PaddedRun> runs, PackedStep step, int s)
    {
        int count = Count(step, s);
        int total = step.ContextLength[s];
        int part = (int)Math.Clamp(mostPairs / total, Math.Min(ShortestPart, count), count);
        for (int first = 0; first < count; first += part)
        {
            runs.Add(new PaddedRun([s], first, [Math.Min(part, count - first)]));
        }
    }

    private static int Count(PackedStep step, int s) => step.QueryStart[s + 1] - step.QueryStart[s];
}
