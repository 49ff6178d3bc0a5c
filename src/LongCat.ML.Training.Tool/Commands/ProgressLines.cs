using System.Diagnostics;
using System.Globalization;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tool.Commands;

/// <summary>A line every tenth of the run or every ten seconds, and for every evaluation.</summary>
/// <param name="elapsedBefore">What a resumed run had taken before.</param>
/// <param name="stepsBefore">The steps of a resumed run before.</param>
/// <param name="details">What a line says of a step between its loss and the time that is left; told the seconds of this run so far.</param>
internal sealed class ProgressLines(TimeSpan elapsedBefore, long stepsBefore, Func<FineTuningStep, double, string> details) : IProgress<FineTuningStep>
{
    private static readonly TimeSpan s_every = TimeSpan.FromSeconds(10);
    private readonly Stopwatch _since = Stopwatch.StartNew();

    public void Report(FineTuningStep step)
    {
        if (step.ValidationLoss is null && step.Step != 1 && step.Step != step.TotalSteps && step.Step % Math.Max(1, step.TotalSteps / 10) != 0 && _since.Elapsed < s_every)
        {
            return;
        }

        _since.Restart();
        double seconds = Math.Max((step.Elapsed - elapsedBefore).TotalSeconds, 1e-9);
        var left = TimeSpan.FromSeconds(Math.Min(seconds / (step.Step - stepsBefore) * (step.TotalSteps - step.Step), 3.6e6));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"step {step.Step}/{step.TotalSteps}, epoch {step.Epoch}, loss {step.Loss:F4}, {(step.ValidationLoss is double v ? $"validation {v:F4}, " : "")}{details(step, seconds)}, {left:h\\:mm\\:ss} left"));
    }
}
