using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tests.FineTuning;

public class WarmupScheduleTests
{
    [Theory]
    [InlineData(LearningRateSchedule.Cosine, 0.5)]
    [InlineData(LearningRateSchedule.Linear, 0.5)]
    [InlineData(LearningRateSchedule.Constant, 1)]
    public void The_rate_rises_in_a_line_and_falls_as_told(LearningRateSchedule shape, double middle)
    {
        var schedule = new WarmupSchedule(2, 4, 104, shape);
        Assert.Equal([0.5, 1, 1.5, 2, 2], Enumerable.Range(0, 5).Select(step => schedule.Rate(step)));
        Assert.Equal(2 * middle, schedule.Rate(54), 1e-12);
        Assert.True(shape == LearningRateSchedule.Constant || schedule.Rate(103) is > 0 and < 0.05);
        Assert.Equal(2, new WarmupSchedule(2, 0, 1, shape).Rate(0));
    }
}
