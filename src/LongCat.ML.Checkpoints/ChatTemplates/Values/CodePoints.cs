using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>Texts counted and cut by code points, as templates see them; UTF-16 units are an accident of this runtime.</summary>
internal static class CodePoints
{
    public static int Count(string text)
    {
        int pairs = 0;
        for (int i = 0; i + 1 < text.Length; i++)
        {
            if (char.IsHighSurrogate(text[i]) && char.IsLowSurrogate(text[i + 1]))
            {
                pairs++;
                i++;
            }
        }

        return text.Length - pairs;
    }

    /// <summary>The characters of a text, a lone surrogate as one.</summary>
    public static string[] Split(string text)
    {
        string[] characters = new string[Count(text)];
        for (int i = 0, at = 0; i < characters.Length; i++)
        {
            int units = at + 1 < text.Length && char.IsSurrogatePair(text[at], text[at + 1]) ? 2 : 1;
            characters[i] = text.Substring(at, units);
            at += units;
        }

        return characters;
    }

    /// <summary>A stretch of a text, in code points.</summary>
    public static string Slice(string text, int start, int length)
    {
        if (Count(text) == text.Length)
        {
            return text.Substring(start, length);
        }

        StringBuilder result = new(length);
        foreach (string character in Split(text).AsSpan(start, length))
        {
            result.Append(character);
        }

        return result.ToString();
    }

    /// <summary>The white space that Python strips: .NET's, and the four separators U+001C to U+001F.</summary>
    public static bool IsSpace(char c) => char.IsWhiteSpace(c) || c is >= '\x1C' and <= '\x1F';

    /// <summary>A text without the given characters at its ends (white space where <paramref name="characters"/> is null).</summary>
    public static string Trim(string text, string? characters, bool left, bool right)
    {
        int start = 0, end = text.Length;
        while (left && start < end && Strips(text[start]))
        {
            start++;
        }

        while (right && end > start && Strips(text[end - 1]))
        {
            end--;
        }

        return text[start..end];

        bool Strips(char c) => characters is null ? IsSpace(c) : characters.Contains(c);
    }
}
