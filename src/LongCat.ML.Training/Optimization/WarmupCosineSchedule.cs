namespace LongCat.ML.Training.Optimization;

/// <summary>The learning rate: a linear warm-up over steps, then half a cosine from the peak to the floor over the share of the budget that is spent.</summary>
/// <param name="Peak">The highest rate.</param>
/// <param name="WarmupSteps">Steps of the warm-up; 0 for none.</param>
/// <param name="FloorShare">The last rate, as a share of the peak.</param>
public sealed record WarmupCosineSchedule(double Peak, int WarmupSteps, double FloorShare = 0.02)
{
    /// <summary>The rate of one step.</summary>
    /// <param name="step">The step, from 0.</param>
    /// <param name="progress">The share of the budget (steps, tokens or time) that is spent, 0..1.</param>
    /// <returns>The rate.</returns>
    public double Rate(long step, double progress)
    {
        double cosine = 0.5 * (1 + Math.Cos(Math.PI * Math.Clamp(progress, 0, 1)));
        double rate = Peak * (FloorShare + ((1 - FloorShare) * cosine));
        return step < WarmupSteps ? rate * (step + 1) / WarmupSteps : rate;
    }
}
