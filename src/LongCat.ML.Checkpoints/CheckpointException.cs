namespace LongCat.ML.Checkpoints;

/// <summary>A checkpoint, a configuration, a tokenizer file or an exported model that cannot be used; the message says what was expected, what came and what to do.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Names the thing, the value, what was expected and what to do.</param>
    /// <param name="file">The file concerned, where one is known.</param>
    /// <param name="tensor">The tensor concerned, where one is known.</param>
    /// <param name="innerException">The cause, where there is one.</param>
    public CheckpointException(string message, string? file = null, string? tensor = null, Exception? innerException = null)
        : base(message, innerException)
    {
        File = file;
        Tensor = tensor;
    }

    /// <summary>The file concerned, or null.</summary>
    public string? File { get; }

    /// <summary>The tensor concerned, or null.</summary>
    public string? Tensor { get; }
}
