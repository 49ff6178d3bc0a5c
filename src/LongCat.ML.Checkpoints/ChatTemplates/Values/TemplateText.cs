using System.Globalization;
using System.Numerics;
using System.Text;

namespace LongCat.ML.Checkpoints;

/// <summary>Values as text: what <c>str()</c> and <c>repr()</c> of Python give.</summary>
internal static class TemplateText
{
    private const int Deepest = 128;

    /// <summary>A value's text, as it is printed.</summary>
    public static string Of(TemplateRun run, object? value)
    {
        switch (value)
        {
            case string text:
                return text;
            case TemplateUndefined:
                return string.Empty;
            default:
                StringBuilder builder = new();
                Write(run, builder, value, 0);
                return builder.ToString();
        }
    }

    /// <summary>A value's text as source code would spell it.</summary>
    public static void Write(TemplateRun run, StringBuilder builder, object? value, int depth)
    {
        if (depth > Deepest)
        {
            throw new TemplateFault("the value to print is nested too deeply");
        }

        run.Charge(64);
        switch (value)
        {
            case string text:
                run.Charge(text.Length);
                WriteQuoted(builder, text);
                break;
            case TemplateList list:
                builder.Append(list.IsTuple ? '(' : '[');
                for (int i = 0; i < list.Items.Count; i++)
                {
                    builder.Append(i == 0 ? string.Empty : ", ");
                    Write(run, builder, list.Items[i], depth + 1);
                }

                builder.Append(!list.IsTuple ? "]" : list.Items.Count == 1 ? ",)" : ")");
                break;
            case TemplateMap map:
                string separator = "{";
                foreach ((object key, object? entry) in map.Entries)
                {
                    builder.Append(separator);
                    Write(run, builder, key, depth + 1);
                    builder.Append(": ");
                    Write(run, builder, entry, depth + 1);
                    separator = ", ";
                }

                builder.Append(map.Count == 0 ? "{}" : "}");
                break;
            default:
                builder.Append(value switch
                {
                    null => "None",
                    bool flag => flag ? "True" : "False",
                    long or BigInteger => ((IFormattable)value).ToString(null, CultureInfo.InvariantCulture),
                    double number => Number(number),
                    TemplateUndefined => "Undefined",
                    _ => $"<{TypeOf(value)}>",
                });
                break;
        }
    }

    /// <summary>A float with the fewest digits that name it, always with a point or an exponent.</summary>
    public static string Number(double value)
    {
        if (double.IsNaN(value))
        {
            return "nan";
        }

        if (double.IsInfinity(value))
        {
            return value > 0 ? "inf" : "-inf";
        }

        // "E16" rounds; "R" gives the shortest digits, in either notation, from which the digits and the exponent are taken.
        string shortest = value.ToString("R", CultureInfo.InvariantCulture);
        int e = shortest.IndexOf('E');
        string mantissa = e < 0 ? shortest : shortest[..e];
        int exponent = e < 0 ? 0 : int.Parse(shortest.AsSpan(e + 1), CultureInfo.InvariantCulture);
        string sign = mantissa.StartsWith('-') ? "-" : string.Empty;
        mantissa = mantissa.TrimStart('-');
        int point = mantissa.IndexOf('.');
        string digits = mantissa.Replace(".", string.Empty, StringComparison.Ordinal);
        int whole = (point < 0 ? mantissa.Length : point) + exponent;
        string significant = digits.TrimStart('0');
        whole -= digits.Length - significant.Length;
        significant = significant.TrimEnd('0');
        if (significant.Length == 0)
        {
            return sign + "0.0";
        }

        if (whole is > -4 and <= 16)
        {
            return sign + (whole <= 0
                ? "0." + new string('0', -whole) + significant
                : whole >= significant.Length ? significant.PadRight(whole, '0') + ".0" : significant[..whole] + "." + significant[whole..]);
        }

        string rest = significant.Length > 1 ? "." + significant[1..] : string.Empty;
        return string.Create(CultureInfo.InvariantCulture, $"{sign}{significant[0]}{rest}e{(whole - 1 < 0 ? '-' : '+')}{Math.Abs(whole - 1):00}");
    }

    /// <summary>How errors name the kind of a value.</summary>
    public static string TypeOf(object? value) => value switch
    {
        null => "none",
        bool => "a truth value",
        long or BigInteger => "a whole number",
        double => "a number",
        string => "a text",
        TemplateList list => list.IsTuple ? "a tuple" : "a list",
        TemplateMap => "a dictionary",
        TemplateNamespace => "a namespace",
        TemplateUndefined => "an undefined value",
        TemplateIterator => "an iterator",
        TemplateFunction function => $"the function `{function.Name}`",
        TemplateLoop => "the loop variable",
        _ => "nothing",
    };

    /// <summary>A key or name for an error.</summary>
    public static string Short(object? value) => value switch
    {
        string text => text,
        long or double or bool => Convert.ToString(value, CultureInfo.InvariantCulture)!,
        _ => TypeOf(value),
    };

    private static void WriteQuoted(StringBuilder builder, string text)
    {
        char quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        builder.Append(quote);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == quote || c == '\\')
            {
                builder.Append('\\').Append(c);
            }
            else if (c is '\n' or '\r' or '\t')
            {
                builder.Append(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
            }
            else if (c is >= ' ' and < '\x7F')
            {
                builder.Append(c);
            }
            else if (char.IsHighSurrogate(c) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]))
            {
                int point = char.ConvertToUtf32(c, text[++i]);
                WritePoint(builder, point, CharUnicodeInfo.GetUnicodeCategory(point), char.ConvertFromUtf32(point));
            }
            else
            {
                WritePoint(builder, c, char.GetUnicodeCategory(c), c.ToString());
            }
        }

        builder.Append(quote);
    }

    private static void WritePoint(StringBuilder builder, int point, UnicodeCategory category, string text)
    {
        bool printable = category is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned
            or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator);
        if (printable)
        {
            builder.Append(text);
        }
        else
        {
            builder.Append((point < 0x100 ? "\\x" + point.ToString("x2", CultureInfo.InvariantCulture) : point < 0x10000 ? "\\u" + point.ToString("x4", CultureInfo.InvariantCulture) : "\\U" + point.ToString("x8", CultureInfo.InvariantCulture)));
        }
    }
}
