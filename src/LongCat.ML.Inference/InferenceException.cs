namespace LongCat.ML.Inference;

/// <summary>A request or a model that the engine cannot run. The message names the thing, its value, what was expected and what to do.</summary>
public sealed class InferenceException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">What failed, what was expected, what to do.</param>
    /// <param name="innerException">The cause, when there is one.</param>
    public InferenceException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}
