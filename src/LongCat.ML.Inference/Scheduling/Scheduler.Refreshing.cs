using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Scheduling;

/// <summary>
/// Sparse verification leaves approximate keys and values behind. The scheduler knows from which token on a request has such (<see cref="Sequence.Exact"/>): pages from there on are nobody else's, and after
/// some steps the request goes back there and computes its tokens again, like those of a prompt, into the same pages.
/// </summary>
internal sealed partial class Scheduler
{
    /// <summary>Takes requests back to their last exact token when their refresh is due.</summary>
    private void Refresh()
    {
        foreach (Sequence sequence in _running)
        {
            if (sequence is GenerationSequence { Speculation.Verification: { RefreshEvery: > 0 } verification } && sequence.ApproximateSteps >= verification.RefreshEvery)
            {
                Speculator!.AddRefresh(sequence.Computed - sequence.Exact);
                sequence.Computed = sequence.Exact;
                sequence.ApproximateSteps = 0;
            }
        }
    }

    /// <summary>Whether the request's next step is a verification that may leave something out.</summary>
    private static bool IsSparse(Sequence sequence) =>
        sequence.Drafts.Count > 0 && sequence is GenerationSequence { Speculation.Verification: { } verification } && verification.CanSkip(sequence.Computed + 1);

    /// <summary>Takes in a step, before <see cref="Sequence.Computed"/> changes: tokens are exact when they were computed exactly, from nothing but exact ones.</summary>
    private static void CountExact(Sequence sequence, int tokens, bool sparse)
    {
        if (!sparse && sequence.Exact == sequence.Computed)
        {
            sequence.Exact = tokens;
        }
        else
        {
            sequence.ApproximateSteps++;
        }
    }

    /// <summary>The first token that streaming attentions must still be able to compute: the first approximate one, where it is computed again later.</summary>
    private static int KeptFrom(Sequence sequence) => sequence.MostRefreshed > 0 ? sequence.Exact : sequence.Computed;
}
