using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference.Tests.Speculation;

/// <summary>How the width of proposals moves, by numbers of rounds alone.</summary>
public sealed class DraftWidthTests
{
    private readonly SpeculativeCounters _counters = new();

    [Fact]
    public void A_fixed_width_stays()
    {
        DraftWidth width = new(new SpeculativeOptions { MaxDraftTokens = 5 }, _counters);
        for (int i = 0; i < 50; i++)
        {
            Assert.Equal(5, width.Next());
            width.Observe(5, 5, 6, 1);
        }

        Assert.Equal((0L, 0L), (_counters.WidthProbes, _counters.WidthObservations));
    }

    [Fact]
    public void Right_proposals_widen_it_to_16_while_that_pays()
    {
        DraftWidth width = new(new SpeculativeOptions { MinAdaptiveK = 2 }, _counters);
        for (int i = 0; i < 100; i++)
        {
            // A step that takes as long at any width: more tokens are more throughput.
            width.Observe(width.Current, width.Current, width.Current + 1, 10);
        }

        Assert.Equal(16, width.Current);
        Assert.Equal((14L, 14L, 0L), (_counters.WidthProbes, _counters.WidthIncreases, _counters.WidthDecreases));
    }

    [Fact]
    public void A_wider_trial_that_costs_more_than_it_gives_is_taken_back()
    {
        DraftWidth width = new(new SpeculativeOptions { MinAdaptiveK = 2 }, _counters);
        width.Observe(2, 2, 3, 10);
        Assert.Equal(3, width.Current);

        // 0.8 of 3 tokens in 10 ms are 0.24 a millisecond; 4 tokens in 17 ms are less, so one round is enough.
        width.Observe(3, 3, 4, 17);
        Assert.Equal(2, width.Current);

        // Six rounds of rest after a failure, then the next trial.
        for (int i = 0; i < 6; i++)
        {
            width.Observe(2, 2, 3, 10);
            Assert.Equal(2, width.Current);
        }

        width.Observe(2, 2, 3, 10);
        Assert.Equal(3, width.Current);

        // Two rounds at 0.29 a millisecond are 0.967 of 0.3: below 0.97, so not kept.
        width.Observe(3, 3, 4, 13.8);
        Assert.Equal(3, width.Current);
        width.Observe(3, 3, 4, 13.8);
        Assert.Equal(2, width.Current);
    }

    [Fact]
    public void Wrong_proposals_narrow_it_to_the_floor_and_not_below()
    {
        DraftWidth width = new(new SpeculativeOptions { MinAdaptiveK = 2 }, _counters);
        for (int i = 0; i < 30; i++)
        {
            width.Observe(width.Current, width.Current, width.Current + 1, 10);
        }

        int widest = width.Current;
        Assert.True(widest > 4);
        for (int i = 0; i < 100; i++)
        {
            // One token a round, and each proposed token costs time.
            width.Observe(width.Current, 0, 1, 10 + width.Current);
        }

        Assert.Equal(2, width.Current);
        Assert.True(_counters.WidthDecreases >= widest - 2);
    }

    [Fact]
    public void A_proposal_cut_short_says_nothing()
    {
        DraftWidth width = new(new SpeculativeOptions { MinAdaptiveK = 3 }, _counters);
        for (int i = 0; i < 20; i++)
        {
            width.Observe(2, 2, 3, 10);
        }

        Assert.Equal((3, 0L), (width.Current, _counters.WidthObservations));
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 0)]
    public void Three_rounds_for_nothing_bring_one_plain_step_where_that_is_asked_for(bool cooldown, int steps)
    {
        DraftWidth width = new(new SpeculativeOptions { MaxDraftTokens = 3, Cooldown = cooldown }, _counters);
        width.Observe(3, 0, 1, 10);
        width.Observe(3, 0, 1, 10);
        width.Observe(3, 1, 2, 10);
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(3, width.Next());
            width.Observe(3, 0, 1, 10);
        }

        Assert.Equal(cooldown ? 0 : 3, width.Next());
        Assert.Equal(3, width.Next());
        Assert.Equal(((long)steps, (long)steps), (_counters.CooldownEntries, _counters.CooldownSteps));
    }
}
