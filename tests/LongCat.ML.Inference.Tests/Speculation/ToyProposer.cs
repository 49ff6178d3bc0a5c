using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>Proposes what the toy model will choose, three times in four; otherwise anything, a poisoned token now and then, or nothing at all; and fails now and then.</summary>
internal sealed class ToyProposer(int seed, int? poison, int repetition, int failEvery, ToyAttention? attention = null) : IDraftProposer
{
    private readonly Random _random = new(seed);
    private int _calls;

    public bool ReadsHidden => false;

    public bool Disposed { get; private set; }

    public static Func<Sampler, Speculator> Speculator(int seed, int? poison = null, SpeculativeOptions? options = null, int repetition = 0, int failEvery = 50, ToyAttention? attention = null) =>
        _ => new Speculator(new ToyProposer(seed, poison, repetition, failEvery, attention), options ?? new SpeculativeOptions { MaxDraftTokens = 6, Cooldown = true }, new SpeculativeCounters());

    public void Follow(IReadOnlyList<StepOutcome> outcomes, IModelRunner model)
    {
        foreach (StepOutcome outcome in outcomes)
        {
            // What the step says is in the cache is what the request now begins with.
            Assert.InRange(outcome.Kept, outcome.Error is null ? 1 : 0, outcome.Entry.Count);
            Assert.True(outcome.Error is not null || outcome.Computed <= outcome.Entry.Sequence.Tokens.Count);
        }
    }

    public void Propose(IReadOnlyList<DraftSlot> slots)
    {
        bool fails = ++_calls % failEvery == 0;
        foreach (DraftSlot slot in slots)
        {
            Assert.Empty(slot.Sequence.Drafts);
            Assert.InRange(slot.Budget, 1, slot.Sequence.MostDrafts);
            List<int> tokens = [.. slot.Sequence.Tokens];
            for (int i = _random.Next(4) == 0 ? _random.Next(slot.Budget) : slot.Budget; i > 0; i--)
            {
                int token = _random.Next(4) > 0
                    ? slot.Sequence.Propose(ToyModel.Expected(tokens, slot.Sequence.Adapter, repetition, attention), tokens.Count)
                    : _random.Next(20) == 0 ? poison ?? 0 : _random.Next(ToyModel.Vocabulary);
                tokens.Add(token);
                slot.Sequence.Drafts.Add(token);
            }
        }

        if (fails)
        {
            throw new InvalidOperationException("the toy proposer fails now and then");
        }
    }

    public void Abort()
    {
    }

    public void Dispose() => Disposed = true;
}
