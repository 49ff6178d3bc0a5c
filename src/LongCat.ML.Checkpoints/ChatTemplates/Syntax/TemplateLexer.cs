using System.Globalization;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Cuts a template into tokens the way Jinja does with <c>trim_blocks</c> and <c>lstrip_blocks</c> on: the newline after a block tag or comment goes, and so
/// does white space between the start of a line and such a tag; <c>-</c> strips on its side, <c>+</c> keeps. One newline at the template's end is dropped.
/// </summary>
internal sealed class TemplateLexer
{
    /// <summary>Longest first, so that <c>**</c> is not read as two stars.</summary>
    private static readonly string[] s_operators =
        ["//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

    private readonly string _source;
    private readonly string _name;
    private readonly List<TemplateToken> _tokens = [];
    private readonly Stack<char> _brackets = [];
    private int _at;
    private int _line = 1;
    private int _lineFrom;

    private TemplateLexer(string source, string name)
    {
        source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        _source = source.EndsWith('\n') ? source[..^1] : source;
        _name = name;
    }

    /// <summary>The tokens of a template; the last is <see cref="TemplateTokenKind.End"/>.</summary>
    /// <exception cref="ChatTemplateException">A tag, comment or string does not end, or a character belongs to nothing.</exception>
    public static List<TemplateToken> Read(string source, string name)
    {
        TemplateLexer lexer = new(source, name);
        lexer.Run();
        return lexer._tokens;
    }

    private void Run()
    {
        bool lineStarting = true;
        while (_at < _source.Length)
        {
            int tag = NextTag();
            if (tag < 0)
            {
                Add(TemplateTokenKind.Data, _source[_at..], _at);
                _at = _source.Length;
                break;
            }

            char kind = _source[tag + 1];
            int raw = kind == '%' ? RawBegin(tag) : -1;
            AddData(tag, strips: kind != '{', lineStarting);
            _at = tag;
            int end = raw >= 0 ? Raw(raw) : kind == '#' ? Comment() : Tag(kind);
            _at = end;
            lineStarting = _source[end - 1] == '\n';
        }

        Add(TemplateTokenKind.End, string.Empty, _source.Length);
    }

    private int NextTag()
    {
        for (int at = _at; ; at++)
        {
            at = _source.IndexOf('{', at);
            if (at < 0 || at + 1 >= _source.Length)
            {
                return -1;
            }

            if (_source[at + 1] is '{' or '%' or '#')
            {
                return at;
            }
        }
    }

    /// <summary>Adds the text before a tag, without the white space that the tag takes away.</summary>
    private void AddData(int tag, bool strips, bool lineStarting)
    {
        int end = StrippedEnd(_at, tag, Sign(tag + 2), strips, lineStarting);
        if (end > _at)
        {
            Add(TemplateTokenKind.Data, _source[_at..end], _at);
        }
    }

    private int StrippedEnd(int start, int end, char sign, bool strips, bool lineStarting)
    {
        if (sign == '-')
        {
            return start + _source.AsSpan(start, end - start).TrimEnd().Length;
        }

        if (sign == '+' || !strips)
        {
            return end;
        }

        int line = _source.AsSpan(start, end - start).LastIndexOf('\n') + 1;
        bool only = (line > 0 || lineStarting) && _source.AsSpan(start + line, end - start - line).IsWhiteSpace();
        return only ? start + line : end;
    }

    private char Sign(int at) => at < _source.Length && _source[at] is '-' or '+' ? _source[at] : '\0';

    /// <summary>Where the content of a raw block starts, or -1 where the tag is another.</summary>
    private int RawBegin(int tag)
    {
        int at = tag + 2;
        at = SkipSpace(Sign(at) == '\0' ? at : at + 1);
        if (!Follows(at, "raw"))
        {
            return -1;
        }

        at = SkipSpace(at + 3);
        return Follows(at, "-%}") ? SkipSpace(at + 3) : Follows(at, "%}") ? at + 2 : -1;
    }

    private int Raw(int start)
    {
        for (int tag = _source.IndexOf("{%", start, StringComparison.Ordinal); tag >= 0; tag = _source.IndexOf("{%", tag + 2, StringComparison.Ordinal))
        {
            char sign = Sign(tag + 2);
            int at = SkipSpace(sign == '\0' ? tag + 2 : tag + 3);
            if (!Follows(at, "endraw"))
            {
                continue;
            }

            int end = TagEnd(SkipSpace(at + 6), '%', trims: true);
            if (end < 0)
            {
                continue;
            }

            int stop = StrippedEnd(start, tag, sign, strips: true, lineStarting: _source[start - 1] == '\n');
            if (stop > start)
            {
                Add(TemplateTokenKind.Data, _source[start..stop], start);
            }

            return end;
        }

        throw Error(_at, "`{% raw %}` is not followed by `{% endraw %}`");
    }

    private int Comment()
    {
        int start = _at + 2;
        int close = _source.IndexOf("#}", start, StringComparison.Ordinal);
        if (close < 0)
        {
            throw Error(_at, "the comment does not end; expected `#}`");
        }

        char sign = close > start ? _source[close - 1] : '\0';
        return sign == '-' ? SkipSpace(close + 2) : sign != '+' && close + 2 < _source.Length && _source[close + 2] == '\n' ? close + 3 : close + 2;
    }

    /// <summary>Where a tag that ends at a place is over, white space that it takes included; -1 where it does not end there.</summary>
    private int TagEnd(int at, char kind, bool trims)
    {
        string close = kind == '%' ? "%}" : "}}";
        if (Follows(at, "-" + close))
        {
            return SkipSpace(at + 3);
        }

        if (trims && Follows(at, "+" + close))
        {
            return at + 3;
        }

        return !Follows(at, close) ? -1 : trims && at + 2 < _source.Length && _source[at + 2] == '\n' ? at + 3 : at + 2;
    }

    private int Tag(char kind)
    {
        bool block = kind == '%';
        int start = _at;
        Add(block ? TemplateTokenKind.BlockBegin : TemplateTokenKind.VariableBegin, string.Empty, start);
        _at += Sign(start + 2) == '\0' ? 2 : 3;
        _brackets.Clear();
        while (true)
        {
            _at = SkipSpace(_at);
            if (_at >= _source.Length)
            {
                throw Error(start, $"the tag `{_source.AsSpan(start, 2)}` does not end; expected `{(block ? "%}" : "}}")}`");
            }

            int end = _brackets.Count == 0 ? TagEnd(_at, block ? '%' : '}', trims: block) : -1;
            if (end >= 0)
            {
                Add(block ? TemplateTokenKind.BlockEnd : TemplateTokenKind.VariableEnd, string.Empty, _at);
                return end;
            }

            ReadToken();
        }
    }

    private void ReadToken()
    {
        char c = _source[_at];
        if (char.IsAsciiDigit(c))
        {
            ReadNumber();
        }
        else if (c == '_' || char.IsLetter(c))
        {
            int start = _at;
            while (_at < _source.Length && (_source[_at] == '_' || char.IsLetterOrDigit(_source[_at])))
            {
                _at++;
            }

            Add(TemplateTokenKind.Name, _source[start.._at], start);
        }
        else if (c is '"' or '\'')
        {
            ReadString(c);
        }
        else
        {
            ReadOperator();
        }
    }

    private void ReadOperator()
    {
        string? found = Array.Find(s_operators, text => Follows(_at, text));
        if (found is null)
        {
            throw Error(_at, $"unexpected character `{CheckpointException.Printable(_source[_at].ToString())}`");
        }

        switch (found[0])
        {
            case '(' or '[' or '{':
                _brackets.Push(found[0] == '(' ? ')' : found[0] == '[' ? ']' : '}');
                break;
            case ')' or ']' or '}':
                if (!_brackets.TryPop(out char expected) || expected != found[0])
                {
                    throw Error(_at, $"unexpected `{found}`{(expected == '\0' ? string.Empty : $", expected `{expected}`")}");
                }

                break;
        }

        Add(TemplateTokenKind.Operator, found, _at);
        _at += found.Length;
    }

    private void ReadNumber()
    {
        int start = _at;
        if (_source[_at] == '0' && _at + 1 < _source.Length && char.ToLowerInvariant(_source[_at + 1]) is 'x' or 'o' or 'b')
        {
            throw Error(_at, "numbers in hexadecimal, octal or binary are not supported; write them in decimal");
        }

        Digits();
        bool fraction = false;
        if (_at + 1 < _source.Length && _source[_at] == '.' && char.IsAsciiDigit(_source[_at + 1]) && !AfterDot(start))
        {
            fraction = true;
            _at++;
            Digits();
        }

        if (_at < _source.Length && _source[_at] is 'e' or 'E' && Exponent(_at + 1))
        {
            fraction = true;
            _at += _source[_at + 1] is '+' or '-' ? 2 : 1;
            Digits();
        }

        string text = _source[start.._at].Replace("_", string.Empty, StringComparison.Ordinal);
        object number = fraction
            ? (object)double.Parse(text, CultureInfo.InvariantCulture)
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long whole) ? whole : throw Error(start, $"the number {CheckpointException.Printable(text)} does not fit 64 bits");
        Add(TemplateTokenKind.Number, text, start, number);
    }

    /// <summary>Whether the number stands behind a dot (<c>a.0.1</c>), where it is an index and no fraction follows.</summary>
    private bool AfterDot(int start) => start > 0 && _source[start - 1] == '.';

    private bool Exponent(int at) =>
        at < _source.Length && (char.IsAsciiDigit(_source[at]) || (_source[at] is '+' or '-' && at + 1 < _source.Length && char.IsAsciiDigit(_source[at + 1])));

    private void Digits()
    {
        while (_at < _source.Length && (char.IsAsciiDigit(_source[_at]) || (_source[_at] == '_' && _at + 1 < _source.Length && char.IsAsciiDigit(_source[_at + 1]))))
        {
            _at++;
        }
    }

    private void ReadString(char quote)
    {
        int start = _at++;
        StringBuilder text = new();
        while (true)
        {
            if (_at >= _source.Length)
            {
                throw Error(start, $"the string does not end; expected {quote}");
            }

            char c = _source[_at++];
            if (c == quote)
            {
                break;
            }

            if (c != '\\')
            {
                text.Append(c);
            }
            else if (_at < _source.Length)
            {
                ReadEscape(text);
            }
        }

        Add(TemplateTokenKind.String, text.ToString(), start);
    }

    /// <summary>Python's escapes; an unknown one keeps its backslash.</summary>
    private void ReadEscape(StringBuilder text)
    {
        char c = _source[_at++];
        switch (c)
        {
            case '\n':
                break;
            case '\\' or '\'' or '"':
                text.Append(c);
                break;
            case 'n':
                text.Append('\n');
                break;
            case 'r':
                text.Append('\r');
                break;
            case 't':
                text.Append('\t');
                break;
            case 'a':
                text.Append('\a');
                break;
            case 'b':
                text.Append('\b');
                break;
            case 'f':
                text.Append('\f');
                break;
            case 'v':
                text.Append('\v');
                break;
            case 'x':
                text.Append((char)Hexadecimal(2));
                break;
            case 'u':
                text.Append((char)Hexadecimal(4));
                break;
            case 'U':
                int point = Hexadecimal(8);
                text.Append(Rune.IsValid(point) ? new Rune(point).ToString() : throw Error(_at, $"U+{point:X} is no character"));
                break;
            case 'N':
                throw Error(_at, "`\\N{…}` is not supported; write the character itself");
            case >= '0' and <= '7':
                int octal = c - '0';
                for (int digits = 1; digits < 3 && _at < _source.Length && _source[_at] is >= '0' and <= '7'; digits++)
                {
                    octal = (octal * 8) + _source[_at++] - '0';
                }

                text.Append((char)octal);
                break;
            default:
                text.Append('\\').Append(c);
                break;
        }
    }

    private int Hexadecimal(int digits)
    {
        if (_at + digits > _source.Length || !int.TryParse(_source.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int value))
        {
            throw Error(_at, $"expected {digits} hexadecimal digits in the escape");
        }

        _at += digits;
        return value;
    }

    private bool Follows(int at, string text) => at <= _source.Length && _source.AsSpan(at).StartsWith(text, StringComparison.Ordinal);

    private int SkipSpace(int at)
    {
        while (at < _source.Length && char.IsWhiteSpace(_source[at]))
        {
            at++;
        }

        return at;
    }

    private void Add(TemplateTokenKind kind, string text, int at, object? number = null) => _tokens.Add(new TemplateToken(kind, text, LineAt(at), number));

    private ChatTemplateException Error(int at, string message) => new(_name, LineAt(Math.Min(at, _source.Length)), message);

    /// <summary>Places are asked for almost in order, so counting goes on from the one before.</summary>
    private int LineAt(int at)
    {
        if (at < _lineFrom)
        {
            return _line - _source.AsSpan(at, _lineFrom - at).Count('\n');
        }

        _line += _source.AsSpan(_lineFrom, at - _lineFrom).Count('\n');
        _lineFrom = at;
        return _line;
    }
}
