using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>A token and the characters it covers.</summary>
internal readonly record struct SpannedToken(int Id, int Start, int End);

/// <summary>An encoding in the making: tokens with the characters they cover.</summary>
/// <param name="text">The text to encode.</param>
/// <param name="keepNormalized">Whether to put the normalized text together as well.</param>
internal sealed class EncodedText(string text, bool keepNormalized)
{
    private readonly StringBuilder? _normalized = keepNormalized ? new StringBuilder(text.Length) : null;

    public string Text { get; } = text;

    public List<SpannedToken> Tokens { get; } = new((text.Length / 4) + 4);

    /// <summary>How much (normalized) text has been encoded.</summary>
    public int Position { get; private set; }

    /// <summary>How much (normalized) text the tokens cover, once a limit was applied.</summary>
    public int Consumed { get; private set; }

    public bool KeepsNormalized => _normalized is not null;

    public string? NormalizedText => _normalized?.ToString();

    public int[] Ids()
    {
        int[] ids = new int[Tokens.Count];
        for (int i = 0; i < ids.Length; i++)
        {
            ids[i] = Tokens[i].Id;
        }

        return ids;
    }

    /// <summary>Goes past a stretch of text.</summary>
    public void Advance(ReadOnlySpan<char> stretch)
    {
        _normalized?.Append(stretch);
        Position += stretch.Length;
    }

    /// <summary>One token that covers a stretch of text.</summary>
    public void Append(int id, ReadOnlySpan<char> stretch)
    {
        Tokens.Add(new SpannedToken(id, Position, Position + stretch.Length));
        Advance(stretch);
    }

    /// <summary>
    /// The tokens of a piece: byte counts become ranges of characters. A token that covers part of a character's bytes has the whole character as its
    /// range; a prefix that the text lacks covers nothing.
    /// </summary>
    public void Append(List<PieceToken> tokens, ReadOnlySpan<char> piece, int origin, char? prefix)
    {
        // The character at `index` has its bytes at start..start+width; index -1 is the prefix.
        int index = prefix is null ? 0 : -1, start = 0, width = prefix is { } c ? Width([c], 0) : Width(piece, 0), from = 0;
        foreach (PieceToken token in tokens)
        {
            int to = from + token.Bytes;
            while (start + width <= from && index < piece.Length)
            {
                Next(piece);
            }

            int first = index;
            while (start + width < to && index < piece.Length)
            {
                Next(piece);
            }

            if (token.Id >= 0)
            {
                int end = index < 0 ? 0 : index + Units(piece, index);
                Tokens.Add(new SpannedToken(token.Id, origin + Math.Max(first, 0), origin + end));
            }

            from = to;
        }

        void Next(ReadOnlySpan<char> piece)
        {
            start += width;
            index += index < 0 ? 1 : Units(piece, index);
            width = Width(piece, index);
        }
    }

    /// <summary>Cuts to a number of tokens, and further to the last whole character.</summary>
    public void Limit(int limit)
    {
        if (Tokens.Count <= limit)
        {
            Consumed = Position;
            return;
        }

        int count = limit;
        while (count > 0 && Tokens[count].Start < Tokens[count - 1].End)
        {
            count--;
        }

        Tokens.RemoveRange(count, Tokens.Count - count);
        Consumed = count == 0 ? 0 : Tokens[count - 1].End;
    }

    /// <summary>UTF-16 units of the character at an index.</summary>
    private static int Units(ReadOnlySpan<char> piece, int index) =>
        index >= piece.Length ? 0 : index + 1 < piece.Length && char.IsSurrogatePair(piece[index], piece[index + 1]) ? 2 : 1;

    /// <summary>UTF-8 bytes of the character at an index; a lone surrogate is encoded as U+FFFD, three bytes.</summary>
    private static int Width(ReadOnlySpan<char> piece, int index) =>
        index >= piece.Length ? 0 : Units(piece, index) == 2 ? 4 : piece[index] < 0x80 ? 1 : piece[index] < 0x800 ? 2 : 3;
}
