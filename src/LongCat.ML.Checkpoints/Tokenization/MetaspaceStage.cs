namespace LongCat.ML.Checkpoints;

/// <summary>
/// The <c>Metaspace</c> pre-tokenizer: a character stands for every space, one more may be put in front, and pieces may start at each. Thread-safe.
/// </summary>
internal sealed class MetaspaceStage
{
    private readonly SplitStage? _split;
    private readonly string _scheme;

    private MetaspaceStage(char replacement, string scheme, bool split)
    {
        Replacement = replacement;
        _scheme = scheme;
        _split = split ? new SplitStage(RegexTranslator.Compile(System.Text.RegularExpressions.Regex.Escape(replacement.ToString())), SplitBehavior.MergedWithNext, invert: false) : null;
    }

    /// <summary>What stands for a space, usually U+2581.</summary>
    public char Replacement { get; }

    public static MetaspaceStage Read(TokenizerNode node) => new(ReadReplacement(node), ReadScheme(node), node["split"].Flag(true));

    /// <summary>The character of a Metaspace node, of a pre-tokenizer or a decoder.</summary>
    public static char ReadReplacement(TokenizerNode node)
    {
        string replacement = node["replacement"].Text();
        return replacement.Length == 1 && !char.IsSurrogate(replacement[0]) ? replacement[0] : throw node["replacement"].Expected("one character up to U+FFFF");
    }

    /// <summary>When a character is put in front: <c>always</c>, <c>first</c> or <c>never</c>. Older files say <c>add_prefix_space</c>.</summary>
    public static string ReadScheme(TokenizerNode node)
    {
        string? scheme = node["prepend_scheme"].TextOrNull();
        if (scheme is not (null or "always" or "first" or "never"))
        {
            throw node["prepend_scheme"].Expected("always, first or never");
        }

        if (node["add_prefix_space"].Flag(true))
        {
            return scheme ?? "always";
        }

        return scheme is null or "never" ? "never" : throw node["add_prefix_space"].Error($"false contradicts prepend_scheme {scheme}");
    }

    /// <summary>Puts the character in front and splits; the spaces of <paramref name="text"/> are replaced already.</summary>
    public void Split(ReadOnlySpan<char> text, bool isFirst, List<StagedPreTokenizer.PieceRange> pieces, List<StagedPreTokenizer.PieceRange> output)
    {
        foreach (StagedPreTokenizer.PieceRange piece in pieces)
        {
            bool starts = piece.Prefix is { } before ? before == Replacement : piece.Length > 0 && text[piece.Start] == Replacement;
            bool prepends = !starts && (_scheme == "always" || (_scheme == "first" && isFirst && piece.Start == 0));
            StagedPreTokenizer.PieceRange prefixed = prepends ? piece with { Prefix = Replacement } : piece;
            if (_split is null)
            {
                output.Add(prefixed);
            }
            else
            {
                StagedPreTokenizer.Split(_split, text, prefixed, output);
            }
        }
    }
}
