namespace LongCat.ML.Quantization;

/// <summary>
/// Something cannot be quantized: weights that are not finite, an overflow bound that is exceeded, statistics that are missing or do not fit.
/// The message names the tensor or site, the value, what was expected and what to do.
/// </summary>
public sealed class QuantizationException : Exception
{
    /// <summary>Creates an exception.</summary>
    /// <param name="subject">The tensor, site or option that is at fault.</param>
    /// <param name="message">What is wrong, what was expected and what to do; without the subject, which is put in front.</param>
    /// <param name="innerException">The cause, where another exception was the cause.</param>
    public QuantizationException(string subject, string message, Exception? innerException = null)
        : base($"{subject}: {message}", innerException)
    {
        Subject = subject;
    }

    /// <summary>The tensor, site or option that is at fault.</summary>
    public string Subject { get; }
}
