using Microsoft.ML.Tokenizers;

namespace LongCat.ML.Checkpoints;

public sealed partial class HuggingFaceTokenizer
{
    /// <summary>
    /// Encodes a text. The base type's <c>EncodeToIds</c> gives the same as this with <paramref name="addSpecialTokens"/> set.
    /// </summary>
    /// <param name="text">Any text.</param>
    /// <param name="addSpecialTokens">
    /// Whether to put the special tokens around it that the file's post-processor asks for (often a begin-of-text token). Off for what continues another text.
    /// </param>
    /// <returns>The ids.</returns>
    public IReadOnlyList<int> Encode(string text, bool addSpecialTokens = true)
    {
        ArgumentNullException.ThrowIfNull(text);
        EncodedText encoding = new(text, keepNormalized: false);
        Run(encoding, normalize: true, preTokenize: true, addSpecialTokens, int.MaxValue);
        return encoding.Ids();
    }

    /// <inheritdoc/>
    /// <remarks>
    /// Offsets refer to the normalized text where there is a normalizer, to the text otherwise; tokens that share a character (its bytes) have the same
    /// offsets, special tokens of the post-processor empty ones. A token limit never ends inside a character.
    /// </remarks>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        EncodedText encoding = Run(text, textSpan, settings);
        EncodedToken[] tokens = new EncodedToken[encoding.Tokens.Count];
        for (int i = 0; i < tokens.Length; i++)
        {
            SpannedToken token = encoding.Tokens[i];
            tokens[i] = new EncodedToken(token.Id, _tokens[token.Id] ?? string.Empty, token.Start..token.End);
        }

        return new EncodeResults<EncodedToken> { Tokens = tokens, NormalizedText = encoding.NormalizedText, CharsConsumed = encoding.Consumed };
    }

    /// <inheritdoc/>
    protected override EncodeResults<int> EncodeToIds(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        EncodedText encoding = Run(text, textSpan, settings);
        return new EncodeResults<int> { Tokens = encoding.Ids(), NormalizedText = encoding.NormalizedText, CharsConsumed = encoding.Consumed };
    }

    /// <inheritdoc/>
    protected override int CountTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings) => Run(text, textSpan, settings).Tokens.Count;

    /// <inheritdoc/>
    /// <remarks>The index never lies inside a character whose bytes are several tokens; such a character is left out as a whole.</remarks>
    protected override int GetIndexByTokenCount(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings, bool fromEnd, out string? normalizedText, out int tokenCount)
    {
        int limit = settings.MaxTokenCount;
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit, "maxTokenCount");
        if (fromEnd)
        {
            settings.MaxTokenCount = int.MaxValue;
        }

        EncodedText encoding = Run(text, textSpan, settings);
        normalizedText = encoding.NormalizedText;
        List<SpannedToken> tokens = encoding.Tokens;
        if (!fromEnd)
        {
            tokenCount = tokens.Count;
            return encoding.Consumed;
        }

        int first = Math.Max(0, tokens.Count - limit);
        while (first > 0 && first < tokens.Count && tokens[first].Start < tokens[first - 1].End)
        {
            first++;
        }

        tokenCount = tokens.Count - first;
        return first == tokens.Count ? encoding.Position : tokens[first].Start;
    }

    private EncodedText Run(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        EncodedText encoding = new(text ?? textSpan.ToString(), keepNormalized: settings.ConsiderNormalization && _normalizer is not null);
        Run(encoding, settings.ConsiderNormalization, settings.ConsiderPreTokenization, addSpecialTokens: true, settings.MaxTokenCount);
        return encoding;
    }

    private void Run(EncodedText encoding, bool normalize, bool preTokenize, bool addSpecialTokens, int limit)
    {
        if (addSpecialTokens)
        {
            foreach (int id in _template.Before)
            {
                encoding.Tokens.Add(new SpannedToken(id, 0, 0));
            }
        }

        List<(int Start, int End, AddedToken? Token)> stretches = [], inner = [];
        Stretches(_rawMatcher, encoding.Text, stretches);
        foreach ((int start, int end, AddedToken? token) in stretches)
        {
            if (encoding.Tokens.Count > limit && !encoding.KeepsNormalized)
            {
                break;
            }

            ReadOnlySpan<char> stretch = encoding.Text.AsSpan(start, end - start);
            if (token is not null)
            {
                encoding.Append(token.Id, stretch);
                continue;
            }

            try
            {
                EncodeText(stretch, inner, isFirst: start == 0, normalize, preTokenize, limit, encoding);
            }
            catch (System.Text.RegularExpressions.RegexMatchTimeoutException error)
            {
                throw new CheckpointException(
                    _file,
                    $"the pattern {CheckpointException.Printable(error.Pattern)} needs more than {RegexTranslator.LongestMatch.TotalSeconds} s for one match in this text; expected one that does not backtrack without end",
                    error);
            }
        }

        if (addSpecialTokens)
        {
            foreach (int id in _template.After)
            {
                encoding.Tokens.Add(new SpannedToken(id, encoding.Position, encoding.Position));
            }
        }

        encoding.Limit(limit);
    }

    /// <summary>Encodes what lies between added tokens of the text as given.</summary>
    private void EncodeText(ReadOnlySpan<char> stretch, List<(int Start, int End, AddedToken? Token)> inner, bool isFirst, bool normalize, bool preTokenize, int limit, EncodedText encoding)
    {
        if (normalize && _normalizer is not null)
        {
            stretch = _normalizer.Normalize(stretch);
        }

        inner.Clear();
        Stretches(_normalizedMatcher, stretch, inner);
        foreach ((int from, int to, AddedToken? normalized) in inner)
        {
            if (normalized is not null)
            {
                encoding.Append(normalized.Id, stretch[from..to]);
            }
            else
            {
                EncodeStretch(stretch[from..to], isFirst: isFirst && from == 0, preTokenize, limit, encoding);
            }
        }
    }

    private static void Stretches(AddedTokenMatcher? matcher, ReadOnlySpan<char> text, List<(int Start, int End, AddedToken? Token)> output)
    {
        if (matcher is not null)
        {
            matcher.Split(text, output);
        }
        else if (text.Length > 0)
        {
            output.Add((0, text.Length, null));
        }
    }

    private void EncodeStretch(ReadOnlySpan<char> stretch, bool isFirst, bool preTokenize, int limit, EncodedText encoding)
    {
        List<TextPiece> pieces = [];
        ReadOnlySpan<char> content = stretch;
        if (preTokenize && encoding.Tokens.Count <= limit)
        {
            _preTokenizer.Split(stretch, isFirst, pieces);
            if (_preTokenizer.Space is { } space && stretch.Contains(' '))
            {
                char[] replaced = stretch.ToArray();
                replaced.AsSpan().Replace(' ', space);
                content = replaced;
            }
        }
        else
        {
            pieces.Add(new TextPiece(0, stretch.Length, null));
        }

        List<PieceToken> tokens = [];
        foreach (TextPiece piece in pieces)
        {
            // One token beyond the limit is enough to know that the limit cuts.
            if (encoding.Tokens.Count > limit)
            {
                break;
            }

            tokens.Clear();
            ReadOnlySpan<char> text = content.Slice(piece.Start, piece.Length);
            _model.Encode(piece.Prefix is { } prefix ? $"{prefix}{text}" : text, tokens);
            encoding.Append(tokens, text, encoding.Position + piece.Start, piece.Prefix);
        }

        encoding.Advance(stretch);
    }
}
