using System.Buffers;
using System.Globalization;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// A text with one UTF-16 unit per code point, so that .NET's regular expressions see code points as the original tokenizers do: a character above
/// U+FFFF is replaced by one below of the same general category (which is all that patterns ask about), a lone surrogate by U+FFFD.
/// </summary>
internal readonly ref struct CodePointProjection
{
    // By UnicodeCategory. Each is a character of that category that no published pattern names.
    private const string Representatives = "\u0241\u0242\u01C5\u02B0\u01BB\u0300\u0903\u0488\u0660\u2160\u00B2\u2003\u2028\u2029\u0001\u2063\uFFFD\uE000\u203F\u2010\u207D\u207E\u2039\u203A\u2056\u2200\u20AC\u02C2\u2100\u0378";

    private static readonly SearchValues<char> s_surrogates = SearchValues.Create([.. Enumerable.Range(0xD800, 0x800).Select(value => (char)value)]);

    private readonly int[]? _offsets;

    /// <summary>Projects a text; one without surrogates is taken as it is.</summary>
    public CodePointProjection(ReadOnlySpan<char> text)
    {
        Text = text;
        if (text.IndexOfAny(s_surrogates) < 0)
        {
            return;
        }

        char[] projected = new char[text.Length];
        _offsets = new int[text.Length + 1];
        int count = 0;
        for (int i = 0; i < text.Length; i++)
        {
            _offsets[count] = i;
            if (!char.IsSurrogate(text[i]))
            {
                projected[count++] = text[i];
            }
            else if (char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                projected[count++] = Representatives[(int)CharUnicodeInfo.GetUnicodeCategory(char.ConvertToUtf32(text[i], text[++i]))];
            }
            else
            {
                projected[count++] = '\uFFFD';
            }
        }

        _offsets[count] = text.Length;
        Text = projected.AsSpan(0, count);
    }

    /// <summary>The projected text.</summary>
    public ReadOnlySpan<char> Text { get; }

    /// <summary>The place in the original text of a place in the projected one.</summary>
    public int Offset(int position) => _offsets is null ? position : _offsets[position];
}
