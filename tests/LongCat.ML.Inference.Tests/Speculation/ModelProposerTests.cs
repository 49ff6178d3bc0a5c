using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using Xunit.Abstractions;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>
/// The multi-token-prediction head and the draft model over the toy model, in a scheduler with too few pages. Drafts that know the model exactly must be right every time: any stale cache
/// entry, hidden state of another position or token of a rejected proposal would show.
/// </summary>
public sealed class ModelProposerTests(ITestOutputHelper output)
{
    private const int Pages = 40;
    private const int MaxSequences = 8;
    private const int MaxTokens = 24;

    [Theory]
    [InlineData(1, 0)]
    [InlineData(4, 0)]
    [InlineData(4, 3)]
    public void The_head_is_anchored_in_the_models_own_states(int width, int wrongEvery) => Check(
        width,
        wrongEvery,
        (options, counters) => new MtpProposer(
            new ToyHead(Pages, SchedulerHarness.PageSize, MaxTokens, wrongEvery), new PackedStep(MaxTokens, MaxSequences, Pages, SchedulerHarness.PageSize, 0), counters));

    [Theory]
    [InlineData(1, 0)]
    [InlineData(4, 0)]
    [InlineData(4, 3)]
    public void The_draft_model_follows_every_sequence_through_its_own_cache(int width, int wrongEvery) => Check(
        width,
        wrongEvery,
        (options, counters) => new DraftModelProposer(
            new ToyModel(Pages, SchedulerHarness.PageSize) { WrongEvery = wrongEvery },
            new PackedStep(MaxTokens, MaxSequences, Pages, SchedulerHarness.PageSize, 3),
            MaxTokens,
            SchedulerHarness.PageSize,
            maxPositions: 1000,
            ToyModel.Vocabulary,
            counters));

    [Fact]
    public void A_draft_model_that_knows_fewer_positions_stops_there()
    {
        SchedulerHarness harness = Harness(4, (options, counters) => new DraftModelProposer(
            new ToyModel(Pages, SchedulerHarness.PageSize), new PackedStep(MaxTokens, MaxSequences, Pages, SchedulerHarness.PageSize, 3), MaxTokens, SchedulerHarness.PageSize,
            maxPositions: 20, ToyModel.Vocabulary, counters));
        (_, Action check) = harness.Add([1, 2, 3], 50);
        harness.Drain();
        check();
        SpeculativeStatistics statistics = harness.Speculator!.Statistics([]);
        Assert.Equal((0, null, 1d), (statistics.DraftFailures, statistics.Stopped, statistics.AcceptanceRate));
        Assert.InRange(statistics.StandardFallbackSteps, 50 - 20, 50 - 10);
    }

    private static SchedulerHarness Harness(int width, Func<SpeculativeOptions, SpeculativeCounters, IDraftProposer> proposer)
    {
        SpeculativeOptions options = new() { MaxDraftTokens = width };
        SpeculativeCounters counters = new();
        return new SchedulerHarness(Pages, MaxSequences, MaxTokens, speculator: _ => new Speculator(proposer(options, counters), options, counters));
    }

    private void Check(int width, int wrongEvery, Func<SpeculativeOptions, SpeculativeCounters, IDraftProposer> proposer)
    {
        SchedulerHarness harness = Harness(width, proposer);
        Random random = new(12);
        List<Action> checks = [];
        for (int i = 0; i < 400; i++)
        {
            checks.Add(harness.AddRandom(random).Check);
            if (i % 4 == 0)
            {
                harness.Executor.RunStep();
                Assert.Empty(harness.Executor.Failed);
                foreach (Sequence finished in harness.Executor.Finished)
                {
                    finished.Complete();
                }
            }
        }

        harness.Drain();
        Assert.All(checks, check => check());
        SpeculativeStatistics statistics = harness.Speculator!.Statistics([]);
        output.WriteLine($"{harness.Scheduler.Preemptions} preemptions, {harness.Scheduler.PrefixHitTokens} tokens shared; {statistics}");
        Assert.Equal((0, 0L, null), (harness.Model.Faults, statistics.DraftFailures, statistics.Stopped));
        Assert.True(harness.Scheduler.Preemptions > 0 && harness.Scheduler.PrefixHitTokens > 0 && statistics.Rounds > 500);
        harness.CheckEmpty();
        if (wrongEvery == 0)
        {
            Assert.Equal(statistics.DraftTokensProposed, statistics.DraftTokensAccepted);
        }
        else
        {
            // Wrong in one position of three, by a hash.
            Assert.InRange(statistics.AcceptanceRate, 0.6, 0.73);
        }
    }
}
