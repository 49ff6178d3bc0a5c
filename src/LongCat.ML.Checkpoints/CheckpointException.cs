using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// What lies on disk cannot be used: a file is missing, malformed, too short, or does not fit its config. It is the only exception
/// that bad input causes in this package. The message names the file, the tensor where there is one, what was expected and what came.
/// </summary>
public sealed class CheckpointException : Exception
{
    /// <summary>Creates an exception for a file as a whole.</summary>
    /// <param name="file">Path of the offending file or folder.</param>
    /// <param name="message">What is wrong, expected and got; without the file name, which is put in front.</param>
    /// <param name="innerException">The cause, where another exception was the cause.</param>
    public CheckpointException(string file, string message, Exception? innerException = null)
        : this(file, null, message, innerException)
    {
    }

    /// <summary>Creates an exception for one tensor (or, with <paramref name="tensor"/> null, for the file as a whole).</summary>
    /// <param name="file">Path of the offending file or folder.</param>
    /// <param name="tensor">Name of the offending tensor, or null.</param>
    /// <param name="message">What is wrong, expected and got; without the names of file and tensor, which are put in front.</param>
    /// <param name="innerException">The cause, where another exception was the cause.</param>
    public CheckpointException(string file, string? tensor, string message, Exception? innerException = null)
        : base(tensor is null ? $"{file}: {message}" : $"{file}: tensor {Printable(tensor)}: {message}", innerException)
    {
        File = file;
        Tensor = tensor;
    }

    /// <summary>Creates an exception whose message names the tensors itself.</summary>
    internal CheckpointException(string file, string? tensor, string message, bool tensorInMessage)
        : base(tensorInMessage && tensor is not null ? $"{file}: tensor {Printable(tensor)}: {message}" : $"{file}: {message}")
    {
        File = file;
        Tensor = tensor;
    }

    /// <summary>Path of the offending file or folder, as it was opened.</summary>
    public string File { get; }

    /// <summary>Name of the offending tensor, exactly as the file spells it; null when the file as a whole is at fault.</summary>
    public string? Tensor { get; }

    /// <summary>A text from an untrusted file in a form that a terminal can show: control characters escaped, at most 160 characters.</summary>
    internal static string Printable(string text)
    {
        const int Longest = 160;
        StringBuilder builder = new(Math.Min(text.Length, Longest) + 8);
        foreach (char c in text)
        {
            if (builder.Length >= Longest)
            {
                builder.Append('…');
                break;
            }

            if (char.IsControl(c) || char.IsSurrogate(c))
            {
                builder.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
            }
            else
            {
                builder.Append(c);
            }
        }

        return builder.ToString();
    }
}
