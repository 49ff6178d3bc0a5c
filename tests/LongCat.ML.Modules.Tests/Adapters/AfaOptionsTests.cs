using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;

namespace LongCat.ML.Modules.Tests.Adapters;

public class AfaOptionsTests
{
    [Theory]
    [InlineData(AfaSchedule.Linear, 0, 1.0)]
    [InlineData(AfaSchedule.Linear, 10, 0.75)]
    [InlineData(AfaSchedule.Linear, 30, 0.25)]
    [InlineData(AfaSchedule.Cosine, 0, 1.0)]
    [InlineData(AfaSchedule.Cosine, 20, 0.5)]
    [InlineData(AfaSchedule.Cosine, 10, 0.85355339059327378)]
    [InlineData(AfaSchedule.Exponential, 0, 1.0)]
    [InlineData(AfaSchedule.Exponential, 20, 0.075858180021243551)]
    [InlineData(AfaSchedule.Step, 0, 1.0)]
    [InlineData(AfaSchedule.Step, 9, 1.0)]
    [InlineData(AfaSchedule.Step, 10, 0.75)]
    [InlineData(AfaSchedule.Step, 39, 0.25)]
    public void Beta_follows_the_schedule(AfaSchedule schedule, long step, double expected) =>
        Assert.Equal(expected, new AfaOptions { Schedule = schedule, EndFraction = 0.4, Stairs = 4 }.Beta(step, 100), 14);

    [Theory]
    [InlineData(AfaSchedule.Linear)]
    [InlineData(AfaSchedule.Cosine)]
    [InlineData(AfaSchedule.Exponential)]
    [InlineData(AfaSchedule.Step)]
    public void Beta_falls_never_rises_and_ends_at_exactly_zero(AfaSchedule schedule)
    {
        Random random = new(7);
        for (int round = 0; round < 200; round++)
        {
            double start = random.NextDouble() * 0.9;
            AfaOptions options = new()
            {
                Schedule = schedule,
                StartFraction = start,
                EndFraction = start + (random.NextDouble() * (1 - start)) + 1e-9 is var end && end > 1 ? 1 : end,
                BetaStart = random.NextDouble(),
                Stairs = random.Next(1, 9),
            };
            options.Validate();
            int total = random.Next(1, 500);
            double before = options.BetaStart;
            for (int step = 0; step <= total; step++)
            {
                double beta = options.Beta(step, total);
                Assert.InRange(beta, 0, before);
                Assert.Equal(step >= options.EndFraction * total, beta == 0 || options.BetaStart == 0);
                before = beta;
            }

            Assert.Equal(0.0, options.Beta(total, total));
        }
    }

    [Fact]
    public void Values_out_of_range_are_named()
    {
        Assert.Contains("StartFraction is 0.5 and EndFraction 0.3, expected 0 <= start < end <= 1", Message(new() { StartFraction = 0.5 }), StringComparison.Ordinal);
        Assert.Contains("EndFraction NaN", Message(new() { EndFraction = double.NaN }), StringComparison.Ordinal);
        Assert.Contains("BetaStart is 1.5", Message(new() { BetaStart = 1.5 }), StringComparison.Ordinal);
        Assert.Contains("Stairs is 0, expected at least 1", Message(new() { Stairs = 0 }), StringComparison.Ordinal);
        Assert.Contains("Activation is 9, expected one of Relu, Silu, Gelu", Message(new() { Activation = (AfaActivation)9 }), StringComparison.Ordinal);

        static string Message(AfaOptions options) => Assert.Throws<ArgumentException>(options.Validate).Message;
    }
}
