namespace LongCat.ML;

/// <summary>The model of a pipeline is nowhere it was looked for, or what lies there is another one. The message lists every place with what was found.</summary>
public sealed class ModelNotFoundException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">The places tried.</param>
    public ModelNotFoundException(string message)
        : base(message)
    {
    }
}
