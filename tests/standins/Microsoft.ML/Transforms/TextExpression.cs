using System.Globalization;
using System.Text;

namespace Microsoft.ML.Transforms;

/// <summary>
/// The text expressions that this stand-in knows: <c>x : "text"</c> and <c>(x, y) : concat(x, "text", y)</c>, each argument a parameter or a constant.
/// </summary>
internal sealed class TextExpression
{
    private readonly string source;
    private readonly List<(int Input, string Constant)> parts = [];
    private int at;

    public TextExpression(string source, int inputs)
    {
        this.source = source;
        int colon = source.IndexOf(':', StringComparison.Ordinal);
        string[] parameters = colon < 0 ? [] : [.. source[..colon].Trim().TrimStart('(').TrimEnd(')').Split(',').Select(name => name.Trim())];
        if (parameters.Length != inputs || parameters.Any(name => name.Length == 0))
        {
            throw Unknown($"its parameters are not those of {inputs} columns");
        }

        at = colon + 1;
        Blank();
        if (Peek == '"')
        {
            parts.Add((-1, Text()));
        }
        else if (Name() == "concat")
        {
            Expect('(');
            do
            {
                Blank();
                parts.Add(Peek == '"' ? (-1, Text()) : (Parameter(parameters, Name()), null));
                Blank();
            }
            while (Take(','));
            Expect(')');
        }
        else
        {
            throw Unknown("only constants and concat are known");
        }

        Blank();
        if (at < source.Length)
        {
            throw Unknown($"'{source[at]}' at {at} is unexpected");
        }
    }

    private char Peek => at < source.Length ? source[at] : '\0';

    public bool Uses(int input) => parts.Any(part => part.Constant is null && part.Input == input);

    public ReadOnlyMemory<char> Evaluate(ReadOnlyMemory<char>[] values) =>
        string.Concat(parts.Select(part => part.Constant ?? values[part.Input].ToString())).AsMemory();

    private int Parameter(string[] parameters, string name) =>
        Array.IndexOf(parameters, name) is >= 0 and int index ? index : throw Unknown($"'{name}' is no parameter");

    private void Blank()
    {
        while (char.IsWhiteSpace(Peek))
        {
            at++;
        }
    }

    private bool Take(char wanted)
    {
        if (Peek != wanted)
        {
            return false;
        }

        at++;
        return true;
    }

    private void Expect(char wanted)
    {
        Blank();
        if (!Take(wanted))
        {
            throw Unknown($"'{wanted}' is expected at {at}");
        }
    }

    private string Name()
    {
        int start = at;
        while (char.IsAsciiLetterOrDigit(Peek) || Peek == '_')
        {
            at++;
        }

        return source[start..at];
    }

    private string Text()
    {
        var text = new StringBuilder();
        for (at++; Peek != '"'; at++)
        {
            char c = Peek;
            if (c is '\0' or '\n' or '\r')
            {
                throw Unknown($"unescaped character U+{(int)c:X4} at {at} in a text constant");
            }

            if (c != '\\')
            {
                text.Append(c);
                continue;
            }

            at++;
            if (Peek == 'u')
            {
                text.Append((char)ushort.Parse(source.AsSpan(at + 1, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                at += 4;
                continue;
            }

            text.Append(Peek switch
            {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '"' or '\\' or '\'' => Peek,
                _ => throw Unknown($"unknown escape '\\{Peek}' at {at} in a text constant"),
            });
        }

        at++;
        return text.ToString();
    }

    private ArgumentException Unknown(string reason) => new($"The stand-in does not know the expression {source}: {reason}", nameof(source));
}
