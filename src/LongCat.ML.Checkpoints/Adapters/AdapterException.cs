namespace LongCat.ML.Checkpoints;

/// <summary>
/// An adapter cannot be used: a file of it is missing or malformed, it is of a kind that is not supported, or it does not fit the model. The message names the adapter's
/// folder, the module or key, the value, what was expected and what to do.
/// </summary>
public sealed class AdapterException : Exception
{
    /// <summary>Creates an exception for an adapter as a whole.</summary>
    /// <param name="adapter">The adapter's folder or file, or what it is called where it lies in no folder.</param>
    /// <param name="message">What is wrong, what was expected and what to do; without the adapter's name, which is put in front.</param>
    /// <param name="innerException">The cause, where another exception was the cause.</param>
    public AdapterException(string adapter, string message, Exception? innerException = null)
        : this(adapter, null, message, innerException)
    {
    }

    /// <summary>Creates an exception for one module, or key of the files, of an adapter.</summary>
    /// <param name="adapter">The adapter's folder or file, or what it is called where it lies in no folder.</param>
    /// <param name="module">The module's path or the key; null for the adapter as a whole.</param>
    /// <param name="message">What is wrong, what was expected and what to do; without the two names, which are put in front.</param>
    /// <param name="innerException">The cause, where another exception was the cause.</param>
    public AdapterException(string adapter, string? module, string message, Exception? innerException = null)
        : base(module is null ? $"{adapter}: {message}" : $"{adapter}: {CheckpointException.Printable(module)}: {message}", innerException)
    {
        Adapter = adapter;
        Module = module;
    }

    /// <summary>The adapter's folder or file, as it was opened, or what it is called where it lies in no folder.</summary>
    public string Adapter { get; }

    /// <summary>The module's path or the key of a file at fault, exactly as it is spelled; null when the adapter as a whole is.</summary>
    public string? Module { get; }

    /// <summary>The same complaint about a file of an adapter.</summary>
    internal static AdapterException From(CheckpointException error)
    {
        string prefix = error.File + ": ";
        return new AdapterException(error.File, error.Message.StartsWith(prefix, StringComparison.Ordinal) ? error.Message[prefix.Length..] : error.Message, error);
    }
}
