using System.Security.Cryptography;
using System.Text;

namespace LongCat.ML.Training.Corpus;

/// <summary>
/// One documented member as plain text. The text's lines are, in this order: the signature, the summary, <c>Namespace: …</c>, and where there is
/// something to say <c>Parameters:</c> with one <c>name: text</c> line each, and <c>Returns: …</c>.
/// </summary>
/// <remarks>
/// The signature carries no namespace, so that the line after the summary cannot be read off the first one. A model completes a summary after
/// <see cref="CompletionPrompt"/> and names the namespace after <see cref="ClassificationPrompt"/>. Immutable and thread-safe.
/// </remarks>
/// <param name="Id">The documentation id, such as <c>M:System.Text.Rune.IsLetter(System.Text.Rune)</c>; unique in a corpus.</param>
/// <param name="DeclaringType">The outermost type's full name in documentation-id form, such as <c>System.Collections.Generic.List`1</c>.</param>
/// <param name="Namespace">The namespace; never empty.</param>
/// <param name="Kind">What the member is.</param>
/// <param name="Signature">The first line.</param>
/// <param name="Summary">The summary, one line.</param>
/// <param name="Text">The whole document, lines ending in <c>\n</c>, without a line end after the last.</param>
public sealed record ApiDocument(string Id, string DeclaringType, string Namespace, ApiMemberKind Kind, string Signature, string Summary, string Text)
{
    /// <summary>The first two segments of the namespace (<c>System.Collections</c>), or the one there is (<c>System</c>).</summary>
    public string NamespaceGroup => GroupOf(Namespace);

    /// <summary>The signature line with its line end: what a model completes with a summary.</summary>
    public string CompletionPrompt => Signature + "\n";

    /// <summary>Signature and summary up to and including <c>Namespace:</c>; the continuation starts with a space.</summary>
    public string ClassificationPrompt => $"{Signature}\n{Summary}\nNamespace:";

    /// <summary>SHA-256 of the text in UTF-8, 64 lower-case hexadecimal digits.</summary>
    public string Sha256 => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Text)));

    /// <summary>The first two segments of a namespace.</summary>
    /// <param name="name">A namespace.</param>
    /// <returns>Its group.</returns>
    public static string GroupOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        int first = name.IndexOf('.');
        int second = first < 0 ? -1 : name.IndexOf('.', first + 1);
        return second < 0 ? name : name[..second];
    }

    /// <summary>
    /// What follows <see cref="ClassificationPrompt"/> in a document of this group. One-segment groups end their line, so that no group's continuation
    /// begins another's and log-likelihoods of continuations are those of exclusive events.
    /// </summary>
    /// <param name="group">A group, as <see cref="NamespaceGroup"/> gives it.</param>
    /// <returns>The continuation, which begins with a space.</returns>
    public static string GroupContinuation(string group)
    {
        ArgumentNullException.ThrowIfNull(group);
        return group.Contains('.') ? " " + group : " " + group + "\n";
    }
}
