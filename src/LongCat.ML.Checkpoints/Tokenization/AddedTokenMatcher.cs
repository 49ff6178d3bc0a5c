using System.Buffers;
using System.Globalization;

namespace LongCat.ML.Checkpoints;

/// <summary>Finds added tokens in a text, leftmost first and the longest of those that start together. A trie; thread-safe once built.</summary>
internal sealed class AddedTokenMatcher
{
    private readonly Node _root = new();
    private readonly SearchValues<char> _firstCharacters;

    /// <param name="tokens">What to find, each with the text to search for.</param>
    public AddedTokenMatcher(IEnumerable<(AddedToken Token, string Text)> tokens)
    {
        foreach ((AddedToken token, string text) in tokens)
        {
            Node node = _root;
            foreach (char c in text)
            {
                if (!node.Children.TryGetValue(c, out Node? child))
                {
                    node.Children[c] = child = new Node();
                }

                node = child;
            }

            node.Token ??= token;
        }

        _firstCharacters = SearchValues.Create([.. _root.Children.Keys]);
    }

    /// <summary>Divides a text into stretches between added tokens (token null) and the added tokens, in order, covering all of it.</summary>
    public void Split(ReadOnlySpan<char> text, List<(int Start, int End, AddedToken? Token)> output)
    {
        int done = 0, at = 0;
        while (at < text.Length)
        {
            int skip = text[at..].IndexOfAny(_firstCharacters);
            if (skip < 0)
            {
                break;
            }

            at += skip;
            (AddedToken? token, int length) = Longest(text[at..]);
            if (token is null || (token.SingleWord && TouchesWord(text, at, at + length)))
            {
                // After a refused match the search goes on behind it, as the reference's does.
                at += Math.Max(length, 1);
                continue;
            }

            int start = at, end = at + length;
            if (token.StripLeft)
            {
                start = Math.Max(done, text[..start].TrimEnd().Length);
            }

            if (token.StripRight)
            {
                end = text.Length - text[end..].TrimStart().Length;
            }

            if (done < start)
            {
                output.Add((done, start, null));
            }

            output.Add((start, end, token));
            done = at = end;
        }

        if (done < text.Length)
        {
            output.Add((done, text.Length, null));
        }
    }

    private static bool TouchesWord(ReadOnlySpan<char> text, int start, int end) =>
        (start > 0 && IsWord(text[start - 1])) || (end < text.Length && IsWord(text[end]));

    private static bool IsWord(char c) => char.GetUnicodeCategory(c) is <= UnicodeCategory.LetterNumber or UnicodeCategory.ConnectorPunctuation;

    private (AddedToken? Token, int Length) Longest(ReadOnlySpan<char> text)
    {
        (AddedToken? Token, int Length) longest = default;
        Node? node = _root;
        for (int i = 0; i < text.Length && node.Children.TryGetValue(text[i], out node); i++)
        {
            if (node.Token is not null)
            {
                longest = (node.Token, i + 1);
            }
        }

        return longest;
    }

    private sealed class Node
    {
        public Dictionary<char, Node> Children { get; } = [];

        public AddedToken? Token { get; set; }
    }
}
