using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>
/// Characters as they stand in a text: between the quotes of a JSON string (RFC 8259, the shortest escapes and those only where they must be), or as they are. Sets of characters are ranges of code
/// points; halves of surrogate pairs are left out of them.
/// </summary>
internal sealed class TextTerms
{
    private const int LastScalar = 0x10FFFF;
    private const string Escapes = "\b\t\n\f\r\"\\", EscapeNames = "btnfr\"\\";

    private readonly TermPool _pool;
    private readonly bool _quoted;

    private TextTerms(TermPool pool, bool quoted, Term? any)
    {
        _pool = pool;
        _quoted = quoted;
        Any = any ?? pool.Choice(pool.Bytes(ByteSet.Range(quoted ? (byte)0x20 : (byte)0, 0x7F).Without(quoted ? "\"\\" : "")), Utf8(0x80, LastScalar));
    }

    public TermPool Pool => _pool;

    /// <summary>Any character.</summary>
    public Term Any { get; }

    /// <summary>Between the quotes of a JSON string, where any character may also be written as an escape.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="any">Any character, escaped or not.</param>
    public static TextTerms Quoted(TermPool pool, Term any) => new(pool, quoted: true, any);

    /// <summary>Between the quotes of a JSON string, without escapes.</summary>
    public static TextTerms Escaped(TermPool pool) => new(pool, quoted: true, any: null);

    /// <summary>Text as it is.</summary>
    public static TextTerms Plain(TermPool pool) => new(pool, quoted: false, any: null);

    /// <summary>So many characters.</summary>
    public Term Of(int least, int? most) => _pool.Repeat(Any, least, most);

    /// <summary>A text.</summary>
    public Term Of(string text) => _pool.Sequence([.. text.EnumerateRunes().Select(rune => Of([(rune.Value, rune.Value)]))]);

    /// <summary>One character of some ranges of code points, both ends included.</summary>
    public Term Of(IEnumerable<(int First, int Last)> ranges)
    {
        List<Term> options = [];
        foreach ((int first, int last) in ranges)
        {
            for (int control = first; _quoted && control <= Math.Min(last, 0x1F); control++)
            {
                options.Add(Escape((char)control));
            }

            foreach (char special in _quoted ? "\"\\" : "")
            {
                if (first <= special && special <= last)
                {
                    options.Add(Escape(special));
                }
            }

            int plain = Math.Max(first, _quoted ? 0x20 : 0);
            if (plain <= Math.Min(last, 0x7F))
            {
                options.Add(_pool.Bytes(ByteSet.Range((byte)plain, (byte)Math.Min(last, 0x7F)).Without(_quoted ? "\"\\" : "")));
            }

            if (last > 0x7F)
            {
                options.Add(Utf8(Math.Max(first, 0x80), last));
            }
        }

        return _pool.Choice(options);
    }

    private Term Escape(char character)
    {
        int named = Escapes.IndexOf(character);
        return _pool.Literal(named >= 0 ? $"\\{EscapeNames[named]}" : $"\\u{(int)character:x4}");
    }

    /// <summary>Code points beyond ASCII in UTF-8 (RFC 3629: nothing overlong, no surrogates), cut where the number of bytes changes.</summary>
    private Term Utf8(int first, int last)
    {
        List<Term> options = [];
        foreach ((int low, int high) in new[] { (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, LastScalar) })
        {
            if (Math.Max(first, low) <= Math.Min(last, high))
            {
                options.Add(Bytes(Encode(Math.Max(first, low)), Encode(Math.Min(last, high)), 0));
            }
        }

        return _pool.Choice(options);
    }

    private static byte[] Encode(int scalar)
    {
        byte[] bytes = new byte[4];
        return bytes[..new System.Text.Rune(scalar).EncodeToUtf8(bytes)];
    }

    /// <summary>All sequences of bytes from one to another of the same length, from a place on.</summary>
    private Term Bytes(byte[] first, byte[] last, int at)
    {
        if (at == first.Length - 1)
        {
            return _pool.Bytes(first[at], last[at]);
        }

        if (first[at] == last[at])
        {
            return _pool.Sequence(_pool.Byte(first[at]), Bytes(first, last, at + 1));
        }

        // The lowest and the highest leading byte may allow a part of what follows only.
        byte[] lowest = [.. first.Select((value, i) => i <= at ? value : (byte)0x80)], highest = [.. first.Select((value, i) => i <= at ? value : (byte)0xBF)];
        int begin = first[at] + 1, end = last[at] - 1;
        List<Term> options = [_pool.Sequence(_pool.Byte(first[at]), Bytes(first, highest, at + 1)), _pool.Sequence(_pool.Byte(last[at]), Bytes(lowest, last, at + 1))];
        if (begin <= end)
        {
            options.Add(_pool.Sequence(_pool.Bytes((byte)begin, (byte)end), Bytes(lowest, highest, at + 1)));
        }

        return _pool.Choice(options);
    }
}
