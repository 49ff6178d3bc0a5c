using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using LongCat.ML.Inference.Constraints.Terms;

namespace LongCat.ML.Inference.Constraints.Schemas;

/// <summary>
/// Makes a term of a regular expression (ECMA-262, as JSON Schema has it: found anywhere in the text unless <c>^</c> and <c>$</c> say otherwise): characters, escapes, classes, groups,
/// alternatives, quantifiers. What is not regular, or looks around, is refused with its place.
/// </summary>
internal sealed class PatternCompiler
{
    private const int MostRepetitions = 10_000, LastScalar = 0x10FFFF;
    private const string Supported = "supported are characters, escapes such as \\d and \\u00e9, classes, groups, |, the quantifiers * + ? {n,m}, and ^ and $ at the ends of the pattern or of its alternatives";

    private static readonly (int, int)[] s_digits = [('0', '9')];
    private static readonly (int, int)[] s_word = [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
    private static readonly (int, int)[] s_lineEnds = [('\n', '\n'), ('\r', '\r'), (0x2028, 0x2029)];
    private static readonly (int, int)[] s_space =
        [(9, 13), (' ', ' '), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)];

    private readonly TextTerms _text;
    private readonly SchemaNode _node;
    private readonly int[] _pattern;
    private int _at;

    private PatternCompiler(SchemaNode node, TextTerms text)
    {
        _node = node;
        _text = text;
        _pattern = [.. node.Text("a regular expression").EnumerateRunes().Select(rune => rune.Value)];
    }

    private TermPool Pool => _text.Pool;

    private bool AtEnd => _at == _pattern.Length;

    /// <summary>The texts that a pattern is found in.</summary>
    /// <exception cref="InferenceException">The pattern is malformed, or uses what is not supported.</exception>
    public static Term Compile(SchemaNode node, TextTerms text)
    {
        PatternCompiler compiler = new(node, text);
        List<Term> alternatives = [];
        do
        {
            alternatives.Add(compiler.Anchored());
        }
        while (compiler.Skip('|'));

        return compiler.AtEnd ? compiler.Pool.Choice(alternatives) : throw compiler.Error(compiler._at, "')' closes no group");
    }

    /// <summary>One alternative of the whole pattern, with whatever may stand around it.</summary>
    private Term Anchored()
    {
        Term around = _text.Of(0, null), before = Skip('^') ? Pool.Empty : around;
        Term matched = Sequence(top: true).All;
        return Pool.Sequence(before, matched, Skip('$') ? Pool.Empty : around);
    }

    private Piece Alternatives()
    {
        RuntimeHelpers.EnsureSufficientExecutionStack();
        Piece piece = Sequence(top: false);
        while (Skip('|'))
        {
            Piece other = Sequence(top: false);
            piece = new Piece(Pool.Choice(piece.All, other.All), Pool.Choice(piece.Some, other.Some));
        }

        return piece;
    }

    private Piece Sequence(bool top)
    {
        Piece whole = new(Pool.Empty, Pool.Fail);
        while (!AtEnd && _pattern[_at] is not ('|' or ')'))
        {
            if (_pattern[_at] == '$' && top && (_at + 1 == _pattern.Length || _pattern[_at + 1] == '|'))
            {
                break;
            }

            Piece next = Quantified(Atom());
            whole = new Piece(Pool.Sequence(whole.All, next.All), Pool.Choice(Pool.Sequence(whole.Some, next.All), whole.All.Nullable ? next.Some : Pool.Fail));
        }

        return whole;
    }

    private Piece Quantified(Piece piece)
    {
        while (true)
        {
            int place = _at, least, most;
            if (Skip('*'))
            {
                (least, most) = (0, -1);
            }
            else if (Skip('+'))
            {
                (least, most) = (1, -1);
            }
            else if (Skip('?'))
            {
                (least, most) = (0, 1);
            }
            else if (Skip('{'))
            {
                least = most = Count(place);
                if (Skip(','))
                {
                    most = !AtEnd && _pattern[_at] == '}' ? -1 : Count(place);
                }

                if (!Skip('}') || (most >= 0 && most < least))
                {
                    throw Error(place, "expected a quantifier {n}, {n,} or {n,m} with n at most m; a brace that stands for itself is written \\{");
                }
            }
            else
            {
                return piece;
            }

            // A lazy quantifier finds the same texts.
            Skip('?');
            if (!AtEnd && _pattern[_at] is '*' or '+' or '{')
            {
                throw Error(_at, "a quantifier follows a quantifier");
            }

            // What may be empty repeats its other texts: any smaller number of them then is allowed too.
            Term repeated = Pool.Repeat(piece.Some, piece.All.Nullable ? 0 : least, most < 0 ? null : most);
            Term some = most == 0 ? Pool.Fail : !repeated.Nullable ? repeated : Pool.Repeat(piece.Some, 1, most < 0 ? null : most);
            return new Piece(repeated, some);
        }
    }

    private int Count(int place)
    {
        int begin = _at, count = 0;
        while (!AtEnd && _pattern[_at] is >= '0' and <= '9')
        {
            count = Math.Min((count * 10) + _pattern[_at++] - '0', MostRepetitions + 1);
        }

        return _at == begin ? throw Error(place, "expected a quantifier {n}, {n,} or {n,m}; a brace that stands for itself is written \\{")
            : count > MostRepetitions ? throw Error(place, $"more than {MostRepetitions} repetitions are not supported") : count;
    }

    private Piece Atom()
    {
        int place = _at, character = _pattern[_at++];
        switch (character)
        {
            case '.':
                return One(Without(s_lineEnds));
            case '[':
                return One(Class(place));
            case '\\':
                return One(Escape(place, inClass: false));
            case '(':
                if (Skip('?') && !Skip(':'))
                {
                    Named(place);
                }

                Piece group = Alternatives();
                return Skip(')') ? group : throw Error(place, "'(' is not closed");
            case '^' or '$':
                throw Error(place, $"'{(char)character}' inside the pattern is not supported; {Supported}");
            case '*' or '+' or '?' or '{' or '}' or ']':
                throw Error(place, $"'{(char)character}' has nothing to go with; one that stands for itself is written \\{(char)character}");
            default:
                return One([(character, character)]);
        }
    }

    /// <summary>The name of a group, which changes nothing; anything else in its place looks around.</summary>
    private void Named(int place)
    {
        if (!Skip('<') || AtEnd || _pattern[_at] is '=' or '!')
        {
            throw Error(place, $"groups that look around, and flags, are not supported; {Supported}");
        }

        while (!AtEnd && !Skip('>'))
        {
            _at++;
        }
    }

    private List<(int, int)> Class(int place)
    {
        bool negated = Skip('^');
        List<(int First, int Last)> ranges = [];
        while (!Skip(']'))
        {
            (List<(int First, int Last)> first, int begin) = Member(place);
            if (!AtEnd && _pattern[_at] == '-' && _at + 1 < _pattern.Length && _pattern[_at + 1] != ']')
            {
                _at++;
                (List<(int First, int Last)> last, _) = Member(place);
                if (first is not [var (low, single)] || low != single || last is not [var (high, also)] || high != also || low > high)
                {
                    throw Error(begin, "expected a range of characters from a lower to a higher one");
                }

                ranges.Add((low, high));
            }
            else
            {
                ranges.AddRange(first);
            }
        }

        return negated ? Without(ranges) : ranges;
    }

    private (List<(int First, int Last)> Ranges, int Place) Member(int place)
    {
        if (AtEnd)
        {
            throw Error(place, "'[' is not closed");
        }

        int begin = _at, character = _pattern[_at++];
        return (character == '\\' ? Escape(begin, inClass: true) : [(character, character)], begin);
    }

    private List<(int First, int Last)> Escape(int place, bool inClass)
    {
        if (AtEnd)
        {
            throw Error(place, "'\\' stands at the end");
        }

        int character = _pattern[_at++];
        return character switch
        {
            'd' => [.. s_digits],
            'D' => Without(s_digits),
            'w' => [.. s_word],
            'W' => Without(s_word),
            's' => [.. s_space],
            'S' => Without(s_space),
            't' => Single('\t'),
            'n' => Single('\n'),
            'v' => Single('\v'),
            'f' => Single('\f'),
            'r' => Single('\r'),
            'b' when inClass => Single('\b'),
            '0' when AtEnd || _pattern[_at] is not (>= '0' and <= '9') => Single(0),
            'x' => Single(Hex(place, 2)),
            'u' => Single(Unicode(place)),
            < 128 when !char.IsAsciiLetterOrDigit((char)character) => Single(character),
            _ => throw Error(place, $"'\\{new Rune(character)}' is not supported; {Supported}"),
        };

        static List<(int, int)> Single(int scalar) => [(scalar, scalar)];
    }

    /// <summary>Four digits, a pair of surrogates in this form, or digits between braces.</summary>
    private int Unicode(int place)
    {
        if (Skip('{'))
        {
            int digits = 0;
            while (_at + digits < _pattern.Length && digits < 8 && _pattern[_at + digits] is < 128 and var digit && char.IsAsciiHexDigit((char)digit))
            {
                digits++;
            }

            int value = digits is 0 or 8 ? -1 : Hex(place, digits);
            return value >= 0 && Skip('}') && Rune.IsValid(value) ? value : throw Error(place, "expected a code point such as \\u{1f600}");
        }

        int unit = Hex(place, 4);
        if (char.IsHighSurrogate((char)unit) && Skip('\\') && Skip('u') && Hex(place, 4) is var low && char.IsLowSurrogate((char)low))
        {
            return char.ConvertToUtf32((char)unit, (char)low);
        }

        return Rune.IsValid(unit) ? unit : throw Error(place, "half of a surrogate pair is no character");
    }

    private int Hex(int place, int digits)
    {
        string text = string.Concat(_pattern.Skip(_at).Take(digits).Select(value => value < 128 ? (char)value : ' '));
        _at += text.Length;
        return text.Length == digits && text.All(char.IsAsciiHexDigit) ? int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture) : throw Error(place, $"expected {digits} hexadecimal digits");
    }

    private Piece One(IEnumerable<(int First, int Last)> ranges)
    {
        Term one = _text.Of(ranges);
        return new Piece(one, one);
    }

    /// <summary>All characters but those of some ranges.</summary>
    private static List<(int First, int Last)> Without(IEnumerable<(int First, int Last)> ranges)
    {
        List<(int, int)> others = [];
        int next = 0;
        foreach ((int first, int last) in ranges.OrderBy(range => range.First))
        {
            if (first > next)
            {
                others.Add((next, first - 1));
            }

            next = Math.Max(next, last + 1);
        }

        if (next <= LastScalar)
        {
            others.Add((next, LastScalar));
        }

        return others;
    }

    private bool Skip(char character)
    {
        if (AtEnd || _pattern[_at] != character)
        {
            return false;
        }

        _at++;
        return true;
    }

    private InferenceException Error(int place, string message) => _node.Error($"the pattern at character {place + 1}: {message}");

    /// <param name="All">All texts.</param>
    /// <param name="Some">All but the empty one.</param>
    private readonly record struct Piece(Term All, Term Some);
}
