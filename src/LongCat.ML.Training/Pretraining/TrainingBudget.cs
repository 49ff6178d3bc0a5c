namespace LongCat.ML.Training.Pretraining;

/// <summary>When training ends: at the first limit that is reached. The learning rate decays over the same measure.</summary>
/// <remarks>A budget of minutes makes the rates depend on the machine's speed; steps and tokens do not.</remarks>
public sealed record TrainingBudget
{
    /// <summary>Steps, or null.</summary>
    public long? Steps { get; init; }

    /// <summary>Training tokens, or null.</summary>
    public long? Tokens { get; init; }

    /// <summary>Minutes of training, over all resumed parts together, or null.</summary>
    public double? Minutes { get; init; }

    /// <summary>The share of the budget that is spent.</summary>
    /// <param name="steps">Steps made.</param>
    /// <param name="tokens">Tokens seen.</param>
    /// <param name="elapsed">Time trained.</param>
    /// <returns>0 to 1; 1 ends training.</returns>
    public double Progress(long steps, long tokens, TimeSpan elapsed)
    {
        double progress = 0;
        if (Steps is long s)
        {
            progress = Math.Max(progress, steps / (double)s);
        }

        if (Tokens is long t)
        {
            progress = Math.Max(progress, tokens / (double)t);
        }

        if (Minutes is double m)
        {
            progress = Math.Max(progress, elapsed.TotalMinutes / m);
        }

        return Math.Min(progress, 1);
    }
}
