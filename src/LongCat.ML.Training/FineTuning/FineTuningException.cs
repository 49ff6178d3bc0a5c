namespace LongCat.ML.Training.FineTuning;

/// <summary>Fine-tuning cannot begin or go on: the message names the setting, the row or the step, what was expected, and what to do.</summary>
public sealed class FineTuningException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong.</param>
    /// <param name="inner">What caused it, or null.</param>
    public FineTuningException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}
