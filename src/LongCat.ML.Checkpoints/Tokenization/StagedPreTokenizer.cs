using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Checkpoints;

/// <summary>A piece of a text; the byte-level stage may put a space before it that the text does not have.</summary>
internal readonly record struct TextPiece(int Start, int Length, bool PrefixSpace);

/// <summary>The <c>pre_tokenizer</c> of a tokenizer.json: stages that each split the pieces of the one before. Thread-safe.</summary>
internal sealed class StagedPreTokenizer : PreTokenizer
{
    private const string Supported = "Split, ByteLevel, Digits, Whitespace, WhitespaceSplit, Punctuation, Sequence";

    /// <summary>GPT-2's pattern, which ByteLevel brings along unless use_regex is off.</summary>
    private const string ByteLevelPattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    private readonly List<SplitStage> _stages = [];
    private SplitStage? _byteLevelStage;
    private bool _byteLevel;
    private bool _addPrefixSpace;

    /// <summary>The pre-tokenizer that a file asks for; its last stage must be ByteLevel.</summary>
    public static StagedPreTokenizer Read(TokenizerNode node)
    {
        const string Required = "only byte-level tokenizers are supported: the last stage must be ByteLevel";
        if (node.IsNull)
        {
            throw node.Error(Required);
        }

        StagedPreTokenizer result = new();
        result.Add(node);
        return result._byteLevel ? result : throw node.Error(Required);
    }

    /// <summary>Appends the pieces of a text, in order; pieces that a stage removes are missing.</summary>
    public void Split(ReadOnlySpan<char> text, List<TextPiece> output)
    {
        CodePointProjection projection = new(text);
        List<(int Start, int Length)> pieces = [(0, projection.Text.Length)], next = [];
        foreach (SplitStage stage in _stages)
        {
            next.Clear();
            foreach ((int start, int length) in pieces)
            {
                stage.Split(projection.Text.Slice(start, length), start, next);
            }

            (pieces, next) = (next, pieces);
        }

        foreach ((int start, int length) in pieces)
        {
            ReadOnlySpan<char> piece = projection.Text.Slice(start, length);
            bool prefix = _addPrefixSpace && (length == 0 || piece[0] != ' ');
            next.Clear();
            if (_byteLevelStage is null)
            {
                next.Add((start, length));
            }
            else if (prefix)
            {
                _byteLevelStage.Split($" {piece}", start - 1, next);
                next[0] = (start, next[0].Length - 1);
            }
            else
            {
                _byteLevelStage.Split(piece, start, next);
            }

            foreach ((int from, int size) in next)
            {
                int origin = projection.Offset(from);
                output.Add(new TextPiece(origin, projection.Offset(from + size) - origin, prefix));
                prefix = false;
            }
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
        Split(text, pieces);
        return pieces.Select(piece => (piece.Start, piece.Length));
    }

    private void Add(TokenizerNode node)
    {
        if (_byteLevel)
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
                _byteLevel = true;
                _addPrefixSpace = node["add_prefix_space"].Flag(true);
                _byteLevelStage = node["use_regex"].Flag(true) ? Stage(ByteLevelPattern, SplitBehavior.Isolated) : null;
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
