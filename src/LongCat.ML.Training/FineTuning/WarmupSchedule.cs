namespace LongCat.ML.Training.FineTuning;

/// <summary>The learning rate of a step: a straight line up to the peak, then the shape that was chosen over the steps that remain.</summary>
/// <param name="Peak">The highest rate.</param>
/// <param name="WarmupSteps">Steps of the warm-up; 0 for none.</param>
/// <param name="TotalSteps">All steps.</param>
/// <param name="Shape">What follows the warm-up.</param>
internal sealed record WarmupSchedule(double Peak, long WarmupSteps, long TotalSteps, LearningRateSchedule Shape)
{
    /// <param name="step">The step, from 0.</param>
    public double Rate(long step)
    {
        if (step < WarmupSteps)
        {
            return Peak * (step + 1) / WarmupSteps;
        }

        double share = (double)(step - WarmupSteps) / Math.Max(1, TotalSteps - WarmupSteps);
        return Peak * Shape switch
        {
            LearningRateSchedule.Constant => 1,
            LearningRateSchedule.Linear => 1 - Math.Clamp(share, 0, 1),
            _ => 0.5 * (1 + Math.Cos(Math.PI * Math.Clamp(share, 0, 1))),
        };
    }
}
