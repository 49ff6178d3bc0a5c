using System.Diagnostics;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Scheduling;

namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// Speculation of an engine: asks the proposer, counts what comes of it, and does without it when it fails. Proposals are an acceleration that no request depends on: nothing that
/// happens here fails one. Owned by the engine's loop, except <see cref="Abort"/>.
/// </summary>
internal sealed class Speculator(IDraftProposer proposer, SpeculativeOptions options, SpeculativeCounters counters) : IDisposable
{
    private const int MostFailures = 3;

    private int _failures;
    private string? _failure;
    private double _proposing;

    /// <summary>Why there are no more proposals, or null.</summary>
    public string? Stopped { get; private set; }

    public bool ReadsHidden => Stopped is null && proposer.ReadsHidden;

    /// <summary>What a new request needs to take part.</summary>
    /// <param name="exact">Whether it is verified exactly whatever the options say.</param>
    public DraftState NewState(bool exact = false) => new(options, counters, exact);

    /// <summary>Whether no option lets anything out of the verification.</summary>
    public bool IsLossless => options.Verification?.IsLossless ?? true;

    /// <summary>Counts the beginning of a refresh.</summary>
    /// <param name="tokens">The tokens that are computed again.</param>
    public void AddRefresh(int tokens)
    {
        counters.Refreshes++;
        counters.RefreshedTokens += tokens;
    }

    /// <summary>Fills <see cref="Sequence.Drafts"/>; without a result where the proposer fails.</summary>
    public void Propose(IReadOnlyList<DraftSlot> slots)
    {
        long start = Stopwatch.GetTimestamp();
        Guard(() => proposer.Propose(slots), slots);
        _proposing += Elapsed(start);
    }

    /// <summary>Hands a step to the proposer and counts the rounds in it.</summary>
    /// <param name="outcomes">What the step brought to each request.</param>
    /// <param name="model">The model that ran it.</param>
    /// <param name="milliseconds">How long it ran.</param>
    public void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model, double milliseconds)
    {
        long start = Stopwatch.GetTimestamp();
        Guard(() => proposer.Follow(outcomes, model), []);
        CountFailures();
        _proposing += Elapsed(start);
        counters.DraftMilliseconds += _proposing;
        bool rounds = false;
        foreach (StepOutcome outcome in outcomes)
        {
            if (outcome.Entry.Sequence is GenerationSequence { Speculation: { } state } sequence && outcome.Error is null && outcome.Emitted > 0)
            {
                int proposed = sequence.Drafts.Count;
                if (proposed == 0)
                {
                    // The step that ends a prompt or a refresh is no fallback: nothing could be proposed there.
                    counters.FallbackSteps += outcome.Entry.Start >= sequence.PromptTokens && outcome.Entry.Count == 1 ? 1 : 0;
                    continue;
                }

                rounds = true;
                counters.AddRound(proposed, outcome.Kept - 1, outcome.Emitted);
                counters.SparseRounds += outcome.Entry.Sparse ? 1 : 0;
                state.Width.Observe(proposed, outcome.Kept - 1, outcome.Emitted, milliseconds + _proposing);
            }
        }

        counters.TargetPasses += rounds ? 1 : 0;
        counters.TargetMilliseconds += rounds ? milliseconds : 0;
        _proposing = 0;
    }

    /// <summary>The counters as they are.</summary>
    public SpeculativeStatistics Statistics(IReadOnlyList<Sequence> running)
    {
        int speculating = 0;
        int widths = 0;
        foreach (Sequence sequence in running)
        {
            if (sequence is GenerationSequence { Speculation: { } state })
            {
                speculating++;
                widths += state.Width.Current;
            }
        }

        return counters.Snapshot(speculating == 0 ? 0 : (double)widths / speculating, Stopped, IsLossless);
    }

    public void Abort() => proposer.Abort();

    public void Dispose() => proposer.Dispose();

    private static double Elapsed(long start) => Stopwatch.GetElapsedTime(start).TotalMilliseconds;

    private void Guard(Action action, IReadOnlyList<DraftSlot> slots)
    {
        if (Stopped is not null)
        {
            return;
        }

        try
        {
            action();
        }
        catch (Exception exception)
        {
            foreach (DraftSlot slot in slots)
            {
                slot.Sequence.Drafts.Clear();
            }

            counters.Failures++;
            _failure = exception.Message;
        }
    }

    /// <summary>A proposer that fails in three steps one after another will go on failing.</summary>
    private void CountFailures()
    {
        _failures = _failure is null ? 0 : _failures + 1;
        Stopped ??= _failures < MostFailures ? null : $"proposals failed in {MostFailures} steps one after another; the last time: {_failure}";
        _failure = null;
    }
}
