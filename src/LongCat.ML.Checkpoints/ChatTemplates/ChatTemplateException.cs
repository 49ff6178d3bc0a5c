namespace LongCat.ML.Checkpoints;

/// <summary>
/// A chat template cannot be parsed or rendered: its syntax is wrong, it uses what is not supported, it refuses the messages (<c>raise_exception</c>), or it
/// asks for more work than a prompt is worth. It is the only exception that a template causes.
/// </summary>
public sealed class ChatTemplateException : Exception
{
    /// <summary>Creates an exception for one line of a template.</summary>
    /// <param name="template">Name of the template, usually the file it came from.</param>
    /// <param name="line">The line, counted from 1.</param>
    /// <param name="message">What is wrong; without name and line, which are put in front.</param>
    /// <param name="innerException">The cause, where another exception was the cause.</param>
    public ChatTemplateException(string template, int line, string message, Exception? innerException = null)
        : base($"{template}, line {line}: {message}", innerException)
    {
        Template = template;
        Line = line;
    }

    /// <summary>Name of the template, as it was given to <see cref="ChatTemplate.Parse"/>.</summary>
    public string Template { get; }

    /// <summary>The line of the template, counted from 1.</summary>
    public int Line { get; }
}
