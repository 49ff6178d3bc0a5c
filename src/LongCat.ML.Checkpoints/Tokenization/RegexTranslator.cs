using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Translates the regular expressions of tokenizer.json (Oniguruma's syntax) into .NET's. Most of the syntax is shared; possessive quantifiers,
/// <c>\w</c>, <c>\h</c>, <c>\x{…}</c>, POSIX brackets and the long s under <c>(?i)</c> are rewritten, and what has no exact counterpart is refused by name.
/// </summary>
internal sealed class RegexTranslator
{
    /// <summary>Oniguruma's word characters; .NET's lack spacing marks and letter numbers.</summary>
    private const string WordClass = @"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}";

    private readonly string _pattern;
    private readonly StringBuilder _output = new();
    private readonly Stack<(int Start, bool IgnoreCase)> _groups = new();
    private int _at;
    private int _atomStart = -1;
    private bool _ignoreCase;

    private RegexTranslator(string pattern) => _pattern = pattern;

    /// <summary>The expression of a <c>{"Regex": …}</c> or <c>{"String": …}</c> node.</summary>
    /// <exception cref="CheckpointException">It is malformed, or uses what .NET cannot express.</exception>
    public static Regex Read(TokenizerNode node)
    {
        TokenizerNode regex = node["Regex"];
        TokenizerNode source = regex.IsNull ? node["String"] : regex;
        if (source.IsNull)
        {
            throw node.Expected("`Regex` or `String`");
        }

        try
        {
            return Compile(regex.IsNull ? LiteralOf(source.Text()) : Translate(source.Text()));
        }
        catch (ArgumentException error)
        {
            throw source.Error($"the pattern cannot be used: {error.Message}", error);
        }
    }

    /// <summary>A pattern that backtracks without end on some text must not hang who encodes it; the patterns of published files need microseconds.</summary>
    public static readonly TimeSpan LongestMatch = TimeSpan.FromSeconds(5);

    /// <summary>Compiles a translated pattern with the options under which it means what Oniguruma means.</summary>
    public static Regex Compile(string pattern) => new(pattern, RegexOptions.Compiled | RegexOptions.CultureInvariant | RegexOptions.Multiline, LongestMatch);

    /// <summary>Translates a pattern.</summary>
    /// <exception cref="ArgumentException">The pattern is malformed or uses what .NET cannot express.</exception>
    public static string Translate(string pattern)
    {
        RegexTranslator translator = new(pattern);
        translator.Run();
        return translator._output.ToString();
    }

    private static string LiteralOf(string text) =>
        text.Any(char.IsSurrogate) ? throw new ArgumentException("characters above U+FFFF are not supported in patterns") : Regex.Escape(text);

    private void Run()
    {
        while (_at < _pattern.Length)
        {
            char c = _pattern[_at];
            switch (c)
            {
                case '(':
                    OpenGroup();
                    break;
                case ')':
                    CloseGroup();
                    break;
                case '[':
                    Atom();
                    Class();
                    break;
                case '\\':
                    Atom();
                    Escape(inClass: false);
                    break;
                case '*' or '+' or '?':
                    Quantifier(c.ToString());
                    break;
                case '{' when QuantifierLength() is int length and > 0:
                    Quantifier(_pattern.Substring(_at, length));
                    break;
                case '|':
                    _output.Append(c);
                    _atomStart = -1;
                    _at++;
                    break;
                default:
                    Atom();
                    Literal(c);
                    break;
            }
        }
    }

    private void Atom() => _atomStart = _output.Length;

    private void Literal(char c)
    {
        if (char.IsSurrogate(c))
        {
            throw Unsupported("a character above U+FFFF");
        }

        // Oniguruma folds the long s with s; .NET does not.
        _output.Append(_ignoreCase && (c is 's' or 'S') ? "[s\u017F]" : c.ToString());
        _at++;
    }

    private void OpenGroup()
    {
        int start = _output.Length;
        bool before = _ignoreCase;
        Match options = Regex.Match(_pattern[_at..], @"^\(\?([imsx]*)(-[imsx]+)?([:)])");
        if (options.Success && options.Length > 2)
        {
            string on = options.Groups[1].Value, off = options.Groups[2].Value;
            if (on.Contains('m') || off.Contains('m') || on.Contains('x') || off.Contains('x'))
            {
                throw Unsupported($"the option group `{options.Value}`");
            }

            _ignoreCase = on.Contains('i') || (_ignoreCase && !off.Contains('i'));
            _output.Append(options.Value);
            _at += options.Length;
            if (options.Groups[3].Value == ")")
            {
                _atomStart = -1;
                return;
            }
        }
        else if (_at + 1 < _pattern.Length && _pattern[_at + 1] == '?')
        {
            Match opening = Regex.Match(_pattern[_at..], @"^\(\?(=|!|>|<=|<!|P?<\w+>|#[^)]*)");
            if (!opening.Success)
            {
                throw Unsupported("a group of this kind");
            }

            _output.Append(opening.Value.Replace("(?P<", "(?<", StringComparison.Ordinal));
            _at += opening.Length;
        }
        else
        {
            _output.Append('(');
            _at++;
        }

        _groups.Push((start, before));
        _atomStart = -1;
    }

    private void CloseGroup()
    {
        if (!_groups.TryPop(out (int Start, bool IgnoreCase) group))
        {
            throw new ArgumentException($"`)` at {_at} closes nothing");
        }

        _output.Append(')');
        _at++;
        _atomStart = group.Start;
        _ignoreCase = group.IgnoreCase;
    }

    private int QuantifierLength()
    {
        Match match = Regex.Match(_pattern[_at..], @"^\{(\d+(,\d*)?|,\d+)\}");
        return match.Success ? match.Length : 0;
    }

    private void Quantifier(string quantifier)
    {
        if (_atomStart < 0)
        {
            throw new ArgumentException($"`{quantifier}` at {_at} repeats nothing");
        }

        _at += quantifier.Length;
        _output.Append(quantifier.StartsWith("{,", StringComparison.Ordinal) ? "{0" + quantifier[1..] : quantifier);
        char following = _at < _pattern.Length ? _pattern[_at] : '\0';
        if (following == '?')
        {
            _output.Append('?');
            _at++;
        }
        else if (following == '+')
        {
            if (quantifier.Length > 1)
            {
                throw Unsupported("`+` after a counted repetition, which engines read in different ways,");
            }

            _output.Insert(_atomStart, "(?>").Append(')');
            _at++;
        }
    }

    private void Escape(bool inClass)
    {
        if (_at + 1 >= _pattern.Length)
        {
            throw new ArgumentException("the pattern ends in a backslash");
        }

        char c = _pattern[_at + 1];
        switch (c)
        {
            case 'p' or 'P':
                Property();
                return;
            case 'x' when _at + 2 < _pattern.Length && _pattern[_at + 2] == '{':
                int point = Bmp(CodePointEscape());
                _output.Append(CultureInfo.InvariantCulture, $"\\u{point:X4}");
                return;
            case 'w':
                _output.Append(inClass ? WordClass : $"[{WordClass}]");
                break;
            case 'W' when !inClass:
                _output.Append($"[^{WordClass}]");
                break;
            case 'h':
                _output.Append(inClass ? "0-9A-Fa-f" : "[0-9A-Fa-f]");
                break;
            case 's' or 'S' or 'd' or 'D' or 'r' or 'n' or 't' or 'f' or 'v' or 'a' or 'e' or 'x' or 'u':
            case 'b' or 'B' or 'A' or 'z' or 'Z' or (>= '0' and <= '9') when !inClass || c is 'b' or '0':
                _output.Append('\\').Append(c);
                break;
            default:
                if (char.IsLetterOrDigit(c) || char.IsSurrogate(c))
                {
                    throw Unsupported($"`\\{c}`");
                }

                _output.Append('\\').Append(c);
                break;
        }

        _at += 2;
    }

    private void Property()
    {
        Match match = Regex.Match(_pattern[_at..], @"^\\([pP])(?:\{(\^?)(\w+)\}|([LMNPSZC]))");
        string name = match.Groups[3].Success ? match.Groups[3].Value : match.Groups[4].Value;
        string? category = name switch
        {
            "Letter" or "Alpha" => "L",
            "Mark" => "M",
            "Number" => "N",
            "Punctuation" or "Punct" => "P",
            "Symbol" => "S",
            "Separator" => "Z",
            "Lu" or "Ll" or "Lt" or "Lm" or "Lo" or "Mn" or "Mc" or "Me" or "Nd" or "Nl" or "No" or "Pc" or "Pd" or "Ps" or "Pe" or "Pi" or "Pf" or "Po"
                or "Sm" or "Sc" or "Sk" or "So" or "Zs" or "Zl" or "Zp" or "Cc" or "Cf" or "Co" or "Cn" or "Cs" or "L" or "M" or "N" or "P" or "S" or "Z" or "C" => name,
            _ => null,
        };
        if (!match.Success || category is null)
        {
            throw Unsupported(match.Success ? $"the property `{name}`" : "a property written like this");
        }

        bool negative = (match.Groups[1].Value == "P") != (match.Groups[2].Value == "^");
        _output.Append(negative ? "\\P{" : "\\p{").Append(category).Append('}');
        _at += match.Length;
    }

    private int CodePointEscape()
    {
        int close = _pattern.IndexOf('}', _at);
        if (close < 0 || !int.TryParse(_pattern.AsSpan(_at + 3, close - _at - 3), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int point) || point > 0x10FFFF)
        {
            throw new ArgumentException($"`\\x{{` at {_at} is not followed by a code point and `}}`");
        }

        _at = close + 1;
        return point;
    }

    /// <summary>A range may end above U+FFFF: characters up there are seen as stand-ins below, so the range then ends at U+FFFF.</summary>
    private int Bmp(int point) => point <= char.MaxValue ? point : _output.Length > 0 && _output[^1] == '-' ? char.MaxValue : throw Unsupported("a character above U+FFFF");

    private void Class()
    {
        int start = _at;
        _output.Append('[');
        _at++;
        if (_at < _pattern.Length && _pattern[_at] == '^')
        {
            _output.Append('^');
            _at++;
        }

        for (bool first = true; ; first = false)
        {
            if (_at >= _pattern.Length)
            {
                throw new ArgumentException($"the class that starts at {start} does not end");
            }

            char c = _pattern[_at];
            if (c == ']' && !first)
            {
                break;
            }

            if (c == '\\')
            {
                Escape(inClass: true);
            }
            else if (c == '[')
            {
                PosixBracket();
            }
            else if (c == '&' && _at + 1 < _pattern.Length && _pattern[_at + 1] == '&')
            {
                throw Unsupported("the class intersection `&&`");
            }
            else if (char.IsHighSurrogate(c) && _at + 1 < _pattern.Length && char.IsLowSurrogate(_pattern[_at + 1]))
            {
                int end = Bmp(char.ConvertToUtf32(c, _pattern[_at + 1]));
                _output.Append(CultureInfo.InvariantCulture, $"\\u{end:X4}");
                _at += 2;
            }
            else
            {
                _output.Append(c);
                _at++;
            }
        }

        _output.Append(']');
        _at++;
    }

    private void PosixBracket()
    {
        Match match = Regex.Match(_pattern[_at..], @"^\[:(\w+):\]");
        _output.Append(match.Success
            ? match.Groups[1].Value switch
            {
                "alpha" => @"\p{L}\p{M}\p{Nl}",
                "digit" => @"\p{Nd}",
                "alnum" => @"\p{L}\p{M}\p{Nl}\p{Nd}",
                "upper" => @"\p{Lu}",
                "lower" => @"\p{Ll}",
                "space" => @"\s",
                "punct" => @"\p{P}\p{S}",
                "word" => WordClass,
                _ => throw Unsupported($"`{match.Value}`"),
            }
            : throw Unsupported("a class inside a class"));
        _at += match.Length;
    }

    private ArgumentException Unsupported(string what) => new($"{what} at {_at} is not supported");
}
