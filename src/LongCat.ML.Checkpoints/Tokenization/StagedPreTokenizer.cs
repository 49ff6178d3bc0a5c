using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Checkpoints;

/// <summary>A piece of a text; a stage may put a character before it that the text does not have (a space, or what stands for one).</summary>
internal readonly record struct TextPiece(int Start, int Length, char? Prefix);

/// <summary>The <c>pre_tokenizer</c> of a tokenizer.json: stages that each split the pieces of the one before. Thread-safe.</summary>
internal sealed class StagedPreTokenizer : PreTokenizer
{
    private const string Supported = "Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation, Sequence";

    /// <summary>GPT-2's pattern, which ByteLevel brings along unless use_regex is off.</summary>
    private const string ByteLevelPattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private readonly List<object> _stages = [];
    private SplitStage? _byteLevelStage;
    private bool _addPrefixSpace;

    /// <summary>Whether tokens are bytes spelled in the byte alphabet; otherwise they are characters.</summary>
    public bool IsByteLevel { get; private set; }

    /// <summary>What every space becomes, or null.</summary>
    public char? Space { get; private set; }

    /// <summary>The pre-tokenizer that a file asks for; none leaves texts whole.</summary>
    public static StagedPreTokenizer Read(TokenizerNode node)
    {
        StagedPreTokenizer result = new();
        if (!node.IsNull)
        {
            result.Add(node);
        }

        return result;
    }

    /// <summary>Appends the pieces of a text, in order; pieces that a stage removes are missing.</summary>
    /// <param name="text">The text.</param>
    /// <param name="isFirst">Whether the text to encode starts here.</param>
    /// <param name="output">Receives the pieces.</param>
    public void Split(ReadOnlySpan<char> text, bool isFirst, List<TextPiece> output)
    {
        CodePointProjection projection = new(text);
        ReadOnlySpan<char> projected = projection.Text;
        List<PieceRange> pieces = [new(0, projected.Length, null)], next = [];
        foreach (object stage in _stages)
        {
            next.Clear();
            if (stage is MetaspaceStage metaspace)
            {
                // Pieces only ever shrink, so replacing the spaces of the whole text replaces those of the pieces.
                char[] replaced = projected.ToArray();
                replaced.AsSpan().Replace(' ', metaspace.Replacement);
                projected = replaced;
                metaspace.Split(projected, isFirst, pieces, next);
            }
            else
            {
                foreach (PieceRange piece in pieces)
                {
                    Split((SplitStage)stage, projected, piece, next);
                }
            }

            (pieces, next) = (next, pieces);
        }

        if (IsByteLevel)
        {
            next.Clear();
            foreach (PieceRange piece in pieces)
            {
                char? prefix = _addPrefixSpace && (piece.Length == 0 || projected[piece.Start] != ' ') ? ' ' : null;
                PieceRange prefixed = piece with { Prefix = prefix };
                if (_byteLevelStage is null)
                {
                    next.Add(prefixed);
                }
                else
                {
                    Split(_byteLevelStage, projected, prefixed, next);
                }
            }

            pieces = next;
        }

        foreach (PieceRange piece in pieces)
        {
            int origin = projection.Offset(piece.Start);
            output.Add(new TextPiece(origin, projection.Offset(piece.Start + piece.Length) - origin, piece.Prefix));
        }
    }

    /// <summary>Splits a piece, its prefix included.</summary>
    internal static void Split(SplitStage stage, ReadOnlySpan<char> text, PieceRange piece, List<PieceRange> output)
    {
        ReadOnlySpan<char> content = text.Slice(piece.Start, piece.Length);
        List<(int Start, int Length)> parts = [];
        stage.Split(piece.Prefix is { } prefix ? $"{prefix}{content}" : content, 0, parts);
        int shift = piece.Prefix is null ? 0 : 1;
        foreach ((int start, int length) in parts)
        {
            bool first = shift == 1 && start == 0;
            output.Add(first ? new PieceRange(piece.Start, length - 1, piece.Prefix) : new PieceRange(piece.Start + start - shift, length, null));
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return PreTokenize(text.AsSpan());
    }

    /// <inheritdoc/>
    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text)
    {
        List<TextPiece> pieces = [];
        Split(text, isFirst: true, pieces);
        return pieces.Select(piece => (piece.Start, piece.Length));
    }

    /// <summary>A stretch of the projected text with its prefix.</summary>
    internal readonly record struct PieceRange(int Start, int Length, char? Prefix);

    private void Add(TokenizerNode node)
    {
        if (IsByteLevel)
        {
            throw node.Error("a stage after ByteLevel is not supported: it would see bytes spelled as characters");
        }

        switch (node.Type)
        {
            case "Sequence":
                foreach (TokenizerNode child in node["pretokenizers"].Items())
                {
                    Add(child);
                }

                break;
            case "ByteLevel":
                if (Space is not null)
                {
                    throw node.Error("ByteLevel after Metaspace is not supported: no vocabulary is made of both");
                }

                IsByteLevel = true;
                _addPrefixSpace = node["add_prefix_space"].Flag(true);
                _byteLevelStage = node["use_regex"].Flag(true) ? Stage(ByteLevelPattern, SplitBehavior.Isolated) : null;
                break;
            case "Metaspace":
                MetaspaceStage metaspace = MetaspaceStage.Read(node);
                Space = metaspace.Replacement;
                _stages.Add(metaspace);
                break;
            case "Split":
                _stages.Add(new SplitStage(RegexTranslator.Read(node["pattern"]), Behavior(node["behavior"]), node["invert"].Flag(false)));
                break;
            case "Digits":
                _stages.Add(Stage(@"\p{N}", node["individual_digits"].Flag(false) ? SplitBehavior.Isolated : SplitBehavior.Contiguous));
                break;
            case "Whitespace":
                _stages.Add(Stage(@"\w+|[^\w\s]+", SplitBehavior.Removed, invert: true));
                break;
            case "WhitespaceSplit":
                _stages.Add(Stage(@"\s", SplitBehavior.Removed));
                break;
            case "Punctuation":
                _stages.Add(Stage(@"[!-/:-@\[-`{-~\p{P}]", node["behavior"].IsNull ? SplitBehavior.Isolated : Behavior(node["behavior"])));
                break;
            default:
                throw node.Unsupported(Supported);
        }
    }

    private static SplitStage Stage(string pattern, SplitBehavior behavior, bool invert = false) =>
        new(RegexTranslator.Compile(RegexTranslator.Translate(pattern)), behavior, invert);

    private static SplitBehavior Behavior(TokenizerNode node) => node.Text() switch
    {
        "Isolated" => SplitBehavior.Isolated,
        "Removed" => SplitBehavior.Removed,
        "MergedWithPrevious" => SplitBehavior.MergedWithPrevious,
        "MergedWithNext" => SplitBehavior.MergedWithNext,
        "Contiguous" => SplitBehavior.Contiguous,
        _ => throw node.Expected("Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous"),
    };
}
