using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Checkpoints;

/// <summary>The <c>normalizer</c> of a tokenizer.json as a chain of functions. Thread-safe.</summary>
internal sealed class TextNormalizer : Normalizer
{
    private const string Supported = "NFC, NFD, Lowercase, Strip, Prepend, Replace, Sequence";

    private readonly List<Func<string, string>> _steps = [];

    /// <summary>The normalizer that a file asks for, or null where it asks for none.</summary>
    public static TextNormalizer? Read(TokenizerNode node)
    {
        if (node.IsNull)
        {
            return null;
        }

        TextNormalizer normalizer = new();
        normalizer.Add(node);
        return normalizer._steps.Count == 0 ? null : normalizer;
    }

    public override string Normalize(string original)
    {
        ArgumentNullException.ThrowIfNull(original);
        foreach (Func<string, string> step in _steps)
        {
            original = step(original);
        }

        return original;
    }

    public override string Normalize(ReadOnlySpan<char> original) => Normalize(original.ToString());

    private void Add(TokenizerNode node)
    {
        switch (node.Type)
        {
            case "Sequence":
                foreach (TokenizerNode child in node["normalizers"].Items())
                {
                    Add(child);
                }

                break;
            case "NFC":
                _steps.Add(CanonicalNormalization.Compose);
                break;
            case "NFD":
                _steps.Add(CanonicalNormalization.Decompose);
                break;
            case "Lowercase":
                _steps.Add(text => text.ToLowerInvariant());
                break;
            case "Strip":
                bool left = node["strip_left"].Flag(true), right = node["strip_right"].Flag(true);
                _steps.Add(text => left ? (right ? text.Trim() : text.TrimStart()) : right ? text.TrimEnd() : text);
                break;
            case "Prepend":
                string prefix = node["prepend"].Text();
                _steps.Add(text => text.Length == 0 ? text : prefix + text);
                break;
            case "Replace":
                Regex pattern = RegexTranslator.Read(node["pattern"]);
                string content = node["content"].Text();
                _steps.Add(text => pattern.Replace(text, _ => content));
                break;
            default:
                throw node.Unsupported(Supported);
        }
    }
}
